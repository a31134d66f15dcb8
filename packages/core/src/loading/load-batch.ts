/**
 * Collects the loads of several keys, so that one call of the loader executes them. The call is made when it is known of
 * every key whether it is loaded: those that hold the batch are still being read or leased.
 */
export class LoadBatch<Member> {
  readonly #run: (members: readonly Member[]) => void
  readonly #holders = new Set<string>()
  #members: Member[] = []
  #isScheduled = false

  constructor(run: (members: readonly Member[]) => void) {
    this.#run = run
  }

  /** Delays the call until the key is released or added. */
  hold(key: string): void {
    this.#holders.add(key)
  }

  release(key: string): void {
    if (this.#holders.delete(key)) this.#schedule()
  }

  add(key: string, member: Member): void {
    this.#members.push(member)
    this.#holders.delete(key)
    this.#schedule()
  }

  /** Waits for the end of the turn, because loads that become possible later often do so together. */
  #schedule(): void {
    if (this.#isScheduled || this.#holders.size > 0 || this.#members.length === 0) return
    this.#isScheduled = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#isScheduled = false
    if (this.#holders.size > 0) return
    const members = this.#members
    this.#members = []
    this.#run(members)
  }
}
