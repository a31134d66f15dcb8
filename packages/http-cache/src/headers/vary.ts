import { listOf } from './cache-control.ts'

/** Adds names to the value of `Vary`. */
export function mergeVary(value: string | undefined, names: readonly string[]): string | undefined {
  const present = new Set(listOf(value))
  if (present.has('*')) return value
  const missing = names.filter((name) => !present.has(name))
  if (missing.length === 0) return value
  const titles = missing.map((name) => name.replaceAll(/(^|-)[a-z]/g, (text) => text.toUpperCase()))
  return value === undefined || value === '' ? titles.join(', ') : `${value}, ${titles.join(', ')}`
}
