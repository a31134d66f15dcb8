import { onAbort } from './on-abort.ts'

const ticksPerCountdown = 8
// setTimeout fires immediately for a longer delay.
const maxTimerMs = 2 ** 31 - 1

/** The error of a call without a reply before its deadline. Drivers convert it to `ERR_CACHE_TIMEOUT`. */
export class DeadlineError extends Error {
  override readonly name: string = 'DeadlineError'

  constructor() {
    super('no reply before the deadline')
  }
}

export interface DeadlineOptions {
  /** Aborts the work early: the result rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
  /** Whether the timer keeps the process alive. @default false */
  readonly ref?: boolean | undefined
}

/**
 * Runs `work` and rejects with a `DeadlineError` after `ms` milliseconds. The signal passed to `work` aborts at the
 * deadline, when `options.signal` aborts, and when the work has settled, so that everything it started is aborted as well.
 *
 * @example
 * const response = await withDeadline(2_000, (signal) => fetch('http://127.0.0.1:8000/', { signal }))
 * console.log(response.status)
 */
export function withDeadline<T>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  { signal: outerSignal, ref = false }: DeadlineOptions = {},
): Promise<T> {
  if (outerSignal?.aborted) return Promise.reject(outerSignal.reason)
  const controller = new AbortController()
  const { signal } = controller
  const cancel = countdown(ms, () => controller.abort(new DeadlineError()), ref)
  const abort = () => controller.abort(outerSignal?.reason)
  const stopListening = outerSignal && onAbort(outerSignal, abort)
  return new Promise<T>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
    work(signal).then(resolve, reject)
  }).finally(() => {
    cancel()
    stopListening?.()
    controller.abort()
  })
}

/**
 * Settles like `result`, or rejects after `ms` milliseconds with the error that `onTimeout` returns. Cheaper than
 * `withDeadline`, for calls that are made thousands of times per second: it needs a timer, but no `AbortController`. The
 * timer keeps the process alive.
 *
 * @example
 * const ping = Promise.resolve(store.ping())
 * await answerWithin(500, ping, () => new CacheError('ERR_CACHE_TIMEOUT', 'ping failed: no reply within 500 ms.'))
 */
export function answerWithin<T>(
  ms: number,
  result: Promise<T>,
  onTimeout: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(onTimeout()), Math.min(ms, maxTimerMs))
    result.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * Calls `onTimeout` after `ms` milliseconds, counted in ticks as by a `Watchdog`. Returns a function that cancels
 * it. The timer keeps the process alive only if `ref` is true.
 *
 * @example
 * const cancel = countdown(500, () => console.error('no connection within 500 ms'))
 * await Promise.resolve(store.ping()).finally(cancel)
 */
export function countdown(ms: number, onTimeout: () => void, ref = false): () => void {
  let ticksLeft = ticksPerCountdown
  const timer = setInterval(() => {
    ticksLeft--
    if (ticksLeft > 0) return
    clearInterval(timer)
    onTimeout()
  }, ms / ticksPerCountdown)
  if (!ref) timer.unref()
  return () => clearInterval(timer)
}
