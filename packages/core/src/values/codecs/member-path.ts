/** Deeper members are not found: the call stack is limited. */
const maxDepth = 500
const maxLength = 100

/**
 * Returns the path of the first member of a value for which `isAt` is true, such as `users[0].name`: `''` for the value
 * itself, `undefined` if there is none. The keys of a `Map` are data and not part of a path: its entries have numbers.
 */
export function pathOf(value: unknown, isAt: (member: unknown) => boolean): string | undefined {
  const path = findPath(value, isAt, new Set(), 0)?.replace(/^\./, '')
  return path === undefined || path.length <= maxLength ? path : `${path.slice(0, maxLength)}…`
}

function findPath(
  value: unknown,
  isAt: (member: unknown) => boolean,
  seen: Set<unknown>,
  depth: number,
): string | undefined {
  if (isAt(value)) return ''
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined
  if (depth === maxDepth) return undefined
  seen.add(value)
  for (const [step, member] of membersOf(value)) {
    const path = findPath(member, isAt, seen, depth + 1)
    if (path !== undefined) return step + path
  }
  return undefined
}

function membersOf(value: object): (readonly [step: string, member: unknown])[] {
  if (Array.isArray(value)) return value.map((member, index) => [`[${index}]`, member])
  if (value instanceof Set) return membersOf([...value])
  if (value instanceof Map) {
    return [...value].flatMap((entry, index) => entry.map((each) => [`[${index}]`, each] as const))
  }
  return Object.entries(value).map(([name, member]) => [`.${name}`, member])
}
