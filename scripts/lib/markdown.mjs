/**
 * Splits Markdown into prose and code: `[isCode, text]`. Links and headings are looked for in prose only.
 *
 * @param {string} text
 * @returns {[boolean, string][]}
 */
export function splitCode(text) {
  const parts = text.split(/(^ *```[^\n]*\n.*?^ *```$)/gms)
  return parts.map((part) => [/^ *```/.test(part), part])
}

/**
 * The id that GitHub gives to a heading. The site uses the same, so that a link works in both.
 *
 * @param {string} heading
 */
export function slugify(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-')
}

/**
 * The ids of all headings of a page. Repeated ones are numbered.
 *
 * @param {string} text
 */
export function headingIds(text) {
  const seen = new Map()
  return proseOf(text).flatMap((prose) =>
    [...prose.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => {
      const id = slugify(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'))
      const count = seen.get(id) ?? 0
      seen.set(id, count + 1)
      return count === 0 ? id : `${id}-${count}`
    }),
  )
}

/**
 * Replaces the targets of the relative links and images of a page.
 *
 * @param {string} text
 * @param {(path: string, hash: string) => string} replace receives the path, which is empty for a link within the
 * page, and the hash with its #, which may be empty
 */
export function mapLinks(text, replace) {
  const link = /(\]\()(?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?(\))/g
  return splitCode(text)
    .map(([isCode, part]) => {
      if (isCode) return part
      return part.replaceAll(link, (_, open, path, hash = '', close) => {
        return `${open}${replace(path, hash)}${close}`
      })
    })
    .join('')
}

/** @param {string} text */
function proseOf(text) {
  return splitCode(text)
    .filter(([isCode]) => !isCode)
    .map(([, prose]) => prose)
}
