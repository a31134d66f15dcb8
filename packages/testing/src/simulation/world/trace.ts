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
