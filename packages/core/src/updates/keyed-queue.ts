import { countdown } from '../calls/deadline.ts'
import { CacheError } from '../errors.ts'
import { currentLoadOf } from '../loading/current-load.ts'
import { Flight } from '../loading/single-flight.ts'
import type { ConflictLocation } from './conditional-write.ts'

/** How long a call waits while no earlier call for its key ends. */
const maxStallMs = 10_000

/** The calls for one key. */
interface Line {
  /** Settles when the last call has ended. Never rejects. */
  last: Promise<unknown>
  lastFlight: Flight
  /** How many calls have ended. */
  ended: number
}

/**
 * Runs the tasks of each key one after another, whether or not the previous one failed. No wait lasts forever: a task
 * that would wait for itself is rejected, and so is one behind a task that does not end.
 */
export class KeyedQueue {
  readonly #lines = new Map<string, Line>()

  /** @param task receives the flight with which others wait for it */
  async run<T>(
    key: string,
    at: ConflictLocation,
    task: (flight: Flight) => Promise<T>,
  ): Promise<T> {
    const line = this.#lines.get(key)
    const caller = currentLoadOf()?.flight
    if (caller !== undefined && line?.lastFlight.reaches(caller) === true) throw waitsForItself(at)
    const flight = new Flight(key)
    const result = line === undefined ? task(flight) : runAfter(line, flight, at, task)
    caller?.startWaitingFor(flight)
    this.#append(key, line, flight, line === undefined ? result : line.last.then(() => result))
    try {
      return await result
    } finally {
      caller?.stopWaitingFor(flight)
    }
  }

  #append(key: string, existing: Line | undefined, flight: Flight, result: Promise<unknown>): void {
    const line = existing ?? { last: result, lastFlight: flight, ended: 0 }
    const end = () => {
      line.ended++
      if (line.lastFlight === flight) this.#lines.delete(key)
    }
    line.last = result.then(end, end)
    line.lastFlight = flight
    this.#lines.set(key, line)
  }
}

async function runAfter<T>(
  line: Line,
  flight: Flight,
  at: ConflictLocation,
  task: (flight: Flight) => Promise<T>,
): Promise<T> {
  const { last, lastFlight } = line
  flight.startWaitingFor(lastFlight)
  await unlessStalled(line, last, at)
  flight.stopWaitingFor(lastFlight)
  return task(flight)
}

/** Resolves with `last`. Rejects if no call of the line ends meanwhile, however many wait. */
function unlessStalled(line: Line, last: Promise<unknown>, at: ConflictLocation): Promise<void> {
  return new Promise((resolve, reject) => {
    let cancel = () => {}
    const watch = () => {
      const { ended } = line
      cancel = countdown(maxStallMs, () => (line.ended === ended ? reject(stalled(at)) : watch()))
    }
    watch()
    last.then(() => {
      cancel()
      resolve()
    })
  })
}

function waitsForItself(at: ConflictLocation): CacheError {
  return new CacheError(
    'ERR_CACHE_REJECTED',
    `${at.operation} failed: it would wait for itself, because the change of an update of the same key calls it, directly ` +
      'or through another update. Compute the new value from the current one, or make the call after the update.',
    { ...at, retryable: false },
  )
}

function stalled(at: ConflictLocation): CacheError {
  return new CacheError(
    'ERR_CACHE_TIMEOUT',
    `${at.operation} failed: an earlier update of the key in this process has not ended for ${maxStallMs} ms. ` +
      'Do slow work before the update, not in its change.',
    at,
  )
}
