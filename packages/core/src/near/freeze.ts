/**
 * Freezes a value with all that it contains. Returns false if some of it cannot be frozen: the contents of bytes, dates,
 * maps and class instances stay mutable.
 */
export function freezeDeeply(value: unknown): boolean {
  const objects = new Set<object>()
  if (!collect(value, objects)) return false
  for (const object of objects) Object.freeze(object)
  return true
}

/** Adds the objects of a value. Returns whether all of them can be frozen. */
function collect(value: unknown, objects: Set<object>): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function'
  if (objects.has(value)) return true
  if (!isPlain(value)) return false
  objects.add(value)
  return Object.values(value).every((inner) => collect(inner, objects))
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null
}
