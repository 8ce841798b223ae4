export function createTransport(): never { throw new Error("not yet"); }
