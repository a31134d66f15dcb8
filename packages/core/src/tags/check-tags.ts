/** @throws TypeError for a tag that is not a non-empty string */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError("Tags must be an array, such as ['products'].")
  if (tags.every((tag) => typeof tag === 'string' && tag !== '')) return tags
  throw new TypeError('A tag must be a non-empty string.')
}
