/** What a broker's server tells of itself; `undefined` where it does not tell it. */
export interface ServerInfo {
  /** The name of its program, as `RabbitMQ` or `Valkey`. */
  readonly product: string | undefined;
  /** Its version. */
  readonly version: string | undefined;
  /** Its time, ms since 1970. */
  readonly time: number | undefined;
  /** The step of its time, ms: 1000 where it tells whole seconds. @default {1} */
  readonly timeStep?: number | undefined;
}
