/** What a process has read about the copies of a node: which writes its `'session'` reads must include. */
export class ReplicationProgress {
  /** The number of writes that `'session'` reads must include. */
  protected expectedWrites = 0
  /** The number of writes that each copy has applied, as far as the process has read it. */
  readonly #applied: number[] = []

  get expected(): number {
    return this.expectedWrites
  }

  /** Makes `'session'` reads include the first `written` writes. */
  expect(written: number): void {
    this.expectedWrites = Math.max(this.expectedWrites, written)
  }

  isCaughtUp(copy: number): boolean {
    return (this.#applied[copy] ?? 0) >= this.expectedWrites
  }

  /**
   * Notes that a copy has applied `applied` writes.
   *
   * @param _expected the number that was expected when the copy was queried
   */
  update(copy: number, applied: number, _expected: number): void {
    this.#applied[copy] = applied
  }
}
