/** The comment that a bundle has before each of its modules. */
const modulePattern = /^\/\/ (packages\/[^\s]+\.ts)$/gm

/**
 * Returns a function that tells from which module of its sources the code at a position of a bundle is.
 * @param {string} code
 * @returns {(position: number) => string | undefined}
 */
export function moduleLookup(code) {
  const modules = [...code.matchAll(modulePattern)].map(({ index, 1: file }) => ({ index, file }))
  return (position) => modules.findLast(({ index }) => index < position)?.file
}
