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

/** Whether neither a value nor anything that it contains can change. */
export function isFrozenDeeply(value: unknown): boolean {
  const objects = new Set<object>()
  return collect(value, objects) && [...objects].every(Object.isFrozen)
}

/**
 * Adds the objects of a value. Returns whether all of them can be frozen. Without recursion: JSON may have more levels than
 * the call stack.
 */
function collect(value: unknown, objects: Set<object>): boolean {
  if (!add(value, objects)) return false
  // Also visits what is added meanwhile.
  for (const object of objects) {
    if (!Object.values(object).every((inner) => add(inner, objects))) return false
  }
  return true
}

function add(value: unknown, objects: Set<object>): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function'
  if (!isPlain(value)) return false
  objects.add(value)
  return true
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null
}
