/** What is declared, as it was read from a database: anybody may have written there. */

/** Says whether a value has all of a declaration that the library reads. */
export function isDeclaration(value: unknown): boolean {
  const { name, arguments: declared } = Object(value);
  return typeof name === "string" && isTable(declared);
}

/** Says whether a value has all of a binding that the library reads. */
export function isBinding(value: unknown): boolean {
  const { source, destination, routingKey, arguments: given } = Object(value);
  return [source, Object(destination).name, routingKey]
    .every((each) => typeof each === "string") && isTable(given);
}

/** Says whether a value is an object that is no list. */
export function isTable(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
