const maxLength = 60
const operationsWithoutResult: ReadonlySet<string> = new Set(['set', 'setMany', 'clear', 'ping'])
// biome-ignore lint/suspicious/noControlCharactersInRegex: items of the cache itself begin with them
const unprintable = /[\u0000-\u001f\u007f-\u{10ffff}]+/gu

/** A call of a workload for a trace: its operation and key, then the other fields that are set. */
export function textOfCall(call: unknown): string {
  if (typeof call !== 'object' || call === null) return String(call)
  const { op, key, keys, ...others } = call as Readonly<Record<string, unknown>>
  const names = [op, key, ...(Array.isArray(keys) ? keys : [])].filter((name) => name !== undefined)
  const settings = Object.entries(others)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]) => (value === true ? name : `${name}=${textOfValue(value)}`))
  return [...names, ...settings].join(' ')
}

/** The result of a request for a trace, with ` = `; `''` for one without. */
export function textOfReply(operation: string, result: unknown): string {
  return operationsWithoutResult.has(operation) ? '' : ` = ${textOfValue(result)}`
}

export function textOfValue(value: unknown): string {
  if (value instanceof Uint8Array) return printable(Buffer.from(value).toString('utf8'))
  if (Array.isArray(value)) return `[${value.map(textOfValue).join(', ')}]`
  return printable(typeof value === 'string' ? value : String(JSON.stringify(value)))
}

function printable(text: string): string {
  const plain = text.replace(unprintable, '·')
  return plain.length > maxLength ? `${plain.slice(0, maxLength)}…` : plain
}
