/** Keys of the copies of the id of a generation: see `IdCopies`. */
const generationKey = /~generation\d*$/

/** Whether the item under a key is the id of a generation. It is only replaced by newer ones, so that no call is harmful late. */
export function isGenerationKey(key: string): boolean {
  return generationKey.test(key)
}
