import { uptime } from 'node:os'
import { type Clock, systemClock } from '@stowage/core'
import type { Table } from '../file/library.ts'
import { bootId, isSameBoot } from './boot-id.ts'

const recordKey = 'clock'
/** If the system clock gains or loses more, it was set, or the machine was suspended. */
const maxDriftMs = 50
/** A shorter suspension cannot be measured: `uptime()` has whole seconds on macOS. */
const minSuspensionMs = 2_000
const maxReads = 1_000
/** Between two readings of a clock that take longer, the system may have run another process. */
const maxReadMs = 0.05
/** What to add to `performance.now()` for the time of `process.hrtime()`, which all processes of a machine share. */
const hrtimeOffset = measureHrtimeOffset()

/** What the first process since the start of the machine has stored in the file. */
interface ClockRecord {
  readonly bootId: string
  /** When the machine was started, in epoch milliseconds of this clock. */
  readonly bootedAt: number
}

/**
 * The time of the processes that share a file. It advances like the time since the start of the machine: a system clock that
 * is set, for example by NTP, would end a lock while it is held, or keep it after its ttl. What it begins with is that of
 * the system clock; the processes read it from the file, so that those which start after the step have the same time.
 */
export class MachineClock implements Clock {
  readonly sleep: Clock['sleep'] = systemClock.sleep
  readonly monotonic = (): number => performance.now()
  #suspendedMs = 0
  #bootedAt: number
  /** By how much the system clock is ahead of `performance.now()`. */
  #systemOffset!: number

  constructor() {
    this.#examine()
    this.#bootedAt = Date.now() - this.#sinceBoot()
  }

  /** Epoch milliseconds, an integer. */
  now(): number {
    const drift = Date.now() - performance.now() - this.#systemOffset
    if (drift > maxDriftMs || drift < -maxDriftMs) this.#examine()
    return Math.floor(this.#bootedAt + this.#sinceBoot())
  }

  /** Takes the time from a file, or begins it there. Call it in a write transaction. */
  share(meta: Table): void {
    const stored = readRecord(meta)
    if (stored !== undefined && isSameBoot(stored.bootId, bootId())) {
      this.#bootedAt = stored.bootedAt
      return
    }
    this.#bootedAt = Date.now() - this.#sinceBoot()
    const record: ClockRecord = { bootId: bootId(), bootedAt: this.#bootedAt }
    meta.put(recordKey, Buffer.from(JSON.stringify(record)))
  }

  #sinceBoot(): number {
    return performance.now() + hrtimeOffset + this.#suspendedMs
  }

  /** On Linux, the clock of `performance.now()` stands still while the machine is suspended. `uptime()` does not. */
  #examine(): void {
    this.#systemOffset = Date.now() - performance.now()
    const suspendedMs = uptime() * 1_000 - this.#sinceBoot()
    if (suspendedMs >= minSuspensionMs) this.#suspendedMs += suspendedMs
  }
}

function readRecord(meta: Table): ClockRecord | undefined {
  const stored = meta.getBinary(recordKey)
  if (stored === undefined) return undefined
  try {
    const record: ClockRecord | null = JSON.parse(stored.toString())
    return typeof record?.bootId === 'string' && Number.isFinite(record.bootedAt)
      ? record
      : undefined
  } catch {
    return undefined
  }
}

/** The two clocks tick together, but cannot be read together: of several readings, the shortest one is the most precise. */
function measureHrtimeOffset(): number {
  let offset = 0
  let shortestMs = Infinity
  for (let reads = 0; reads < maxReads && shortestMs > maxReadMs; reads++) {
    const before = performance.now()
    const hrtime = Number(process.hrtime.bigint()) / 1e6
    const readMs = performance.now() - before
    if (readMs >= shortestMs) continue
    shortestMs = readMs
    offset = hrtime - before - readMs / 2
  }
  return offset
}
