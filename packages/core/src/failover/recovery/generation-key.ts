/** Keys of the copies of the id of a generation: see `IdCopies`. */
const generationKey = /~generation(\d*)$/

/** Whether the item under a key is the id of a generation. It is only replaced by newer ones, so that no call is harmful late. */
export function isGenerationKey(key: string): boolean {
  return generationKey.test(key)
}

/** What the keys of all copies of an id begin with. `undefined` for other keys. */
export function idNameOf(key: string): string | undefined {
  const digits = generationKey.exec(key)?.[1]
  return digits === undefined ? undefined : key.slice(0, key.length - digits.length)
}
