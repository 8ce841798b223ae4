/** Keeps bodies that are too large for a broker. A store of one's own is three verbs: over an object storage, or a table. */
export interface ClaimStore {
  /**
   * Keeps a body.
   *
   * @param body The body. Do not write to it.
   * @param options How long it may be needed, ms: it may be deleted after that.
   * @returns The name that it is found by: a short text that nobody can guess, which travels in a header.
   */
  put(
    body: Uint8Array,
    options: { readonly expiry: number },
  ): Promise<string>;
  /**
   * Finds a body.
   *
   * @param reference The name as it came from the broker: anything, where others can publish there.
   * @returns The body; `undefined` if there is none of that name, or not any more.
   */
  get(reference: string): Promise<Uint8Array | undefined>;
  /** Removes a body. One that is not there is removed already. */
  remove(reference: string): Promise<void>;
}

/** A store in a folder; see {@linkcode createFolderClaimStore}. */
export interface FolderClaimStore extends ClaimStore {
  /**
   * Deletes the bodies whose time is over; `put` does so once a minute.
   *
   * @returns How many.
   */
  sweep(): Promise<number>;
}
