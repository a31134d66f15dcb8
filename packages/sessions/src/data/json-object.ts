/** An object as `JSON.parse` returns it. */
export type JsonObject = { readonly [key: string]: unknown }

/** Whether a value is an object as `JSON.parse` returns it. */
export function isJsonObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Parses the JSON of an object. An own key `__proto__`, which an assignment would turn into a prototype, is left out. */
export function parseObject(text: string): Record<string, unknown> {
  const parsed = JSON.parse(text) as Record<string, unknown>
  if (Object.hasOwn(parsed, '__proto__')) Reflect.deleteProperty(parsed, '__proto__')
  return parsed
}

/** Whether two values have the same JSON. False for one that has none, such as an object that contains itself. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  try {
    return JSON.stringify(a) === JSON.stringify(b)
  } catch {
    return false
  }
}
