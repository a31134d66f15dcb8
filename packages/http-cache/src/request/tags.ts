/** @throws TypeError for tags that a cache would not store */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError("Tags must be an array, such as ['products'].")
  for (const tag of tags as readonly unknown[]) {
    if (typeof tag !== 'string' || tag === '') {
      throw new TypeError(`A tag must be a non-empty string, and not ${describe(tag)}.`)
    }
  }
  return tags
}

function describe(tag: unknown): string {
  if (Array.isArray(tag)) return 'an array: use tags(...names)'
  return tag === '' ? "''" : String(tag)
}
