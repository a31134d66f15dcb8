import { types } from 'node:util'

/** A line about requests, to which another request can be added. */
interface RequestLine {
  readonly at: number
  readonly where: string
  readonly text: string
  readonly index: number
}

/** A run that does not end would fill the memory. */
const maxLines = 20_000

/** What happened in a run, for people. */
export class Trace {
  readonly lines: string[] = []
  #lastRequest: RequestLine | undefined

  /**
   * @param where the process, or the node of the backend
   * @param call the number of the call from which it follows
   */
  add(at: number, where: string, text: string, call?: number): void {
    if (this.lines.length === maxLines) this.lines.push('Further lines are left out.')
    if (this.lines.length > maxLines) return
    const number = call === undefined ? '' : `#${call}`
    this.lines.push(`${at.toFixed(1).padStart(9)}  ${where.padEnd(4)} ${number.padEnd(4)} ${text}`)
  }

  /** Adds a request. Requests of the same kind that are sent together share a line. */
  addRequest(at: number, where: string, text: string, keys: readonly string[], call = 0): void {
    if (this.lines.length > maxLines) return
    const last = this.#lastRequest
    const isLast = last?.index === this.lines.length - 1
    if (isLast && last.at === at && last.where === where && last.text === text) {
      this.lines[last.index] += ` ${keys.join(' ')}`
      return
    }
    this.add(at, where, `${text} ${keys.join(' ')}`.trimEnd(), call)
    this.#lastRequest = { at, where, text, index: this.lines.length - 1 }
  }

  toString(): string {
    return this.lines.join('\n')
  }
}

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
  if (types.isUint8Array(value)) return printable(Buffer.from(value).toString('utf8'))
  if (Array.isArray(value)) return `[${value.map(textOfValue).join(', ')}]`
  return printable(typeof value === 'string' ? value : String(JSON.stringify(value)))
}

function printable(text: string): string {
  const plain = text.replace(unprintable, '·')
  return plain.length > maxLength ? `${plain.slice(0, maxLength)}…` : plain
}
