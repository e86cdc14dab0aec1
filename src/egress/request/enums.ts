/** Protobuf enums are open: a number of a newer client, or of a mistake, arrives as it is. */

/** Whether the enum has a name for the value. */
export function isKnownValue(values: Readonly<Record<string, string | number>>, value: number): boolean {
  return Object.hasOwn(values, String(value));
}
