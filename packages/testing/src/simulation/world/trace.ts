/** What happened in a run, for people. */
export class Trace {
  readonly lines: string[] = []

  /** @param where the process, or the node of the backend */
  add(at: number, where: string, text: string): void {
    this.lines.push(`${at.toFixed(1).padStart(9)}  ${where.padEnd(4)} ${text}`)
  }

  toString(): string {
    return this.lines.join('\n')
  }
}
