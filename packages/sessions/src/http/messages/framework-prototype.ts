/**
 * Returns the prototype that a framework has put before `base`, which is that of Node, in an object; `undefined` if there
 * is none. In Express, it is the one that all its applications share.
 */
export function frameworkPrototypeOf<T extends object>(object: T, base: T): T | undefined {
  let prototype: T | null = Object.getPrototypeOf(object)
  while (prototype !== null && prototype !== base) {
    const parent: T | null = Object.getPrototypeOf(prototype)
    if (parent === base) return prototype
    prototype = parent
  }
  return undefined
}
