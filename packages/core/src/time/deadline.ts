import { countdown } from './watchdog.ts'

/** The backend did not answer before the deadline. Drivers translate it to `ERR_CACHE_TIMEOUT`. */
export class DeadlineError extends Error {
  override readonly name: string = 'DeadlineError'

  constructor() {
    super('no answer in time')
  }
}

export interface DeadlineOptions {
  /** Ends the work early: the result rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Whether the timer keeps the process alive. @default false */
  readonly ref?: boolean | undefined
}

/**
 * Runs `work` and rejects with a `DeadlineError` after `ms` milliseconds. The signal that `work` receives aborts at the
 * deadline, when `options.signal` aborts, and once the work has settled, so that nothing it started outlives it.
 */
export function withDeadline<T>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  { signal: outer, ref = false }: DeadlineOptions = {},
): Promise<T> {
  if (outer?.aborted) return Promise.reject(outer.reason)
  const controller = new AbortController()
  const { signal } = controller
  const stop = countdown(ms, () => controller.abort(new DeadlineError()), ref)
  const abort = () => controller.abort(outer?.reason)
  outer?.addEventListener('abort', abort)
  return new Promise<T>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
    work(signal).then(resolve, reject)
  }).finally(() => {
    stop()
    outer?.removeEventListener('abort', abort)
    controller.abort()
  })
}

/**
 * Waits for `answer` at most `ms` milliseconds, then rejects with the error that `onTimeout` returns. It costs one timer
 * and one promise, for calls that are made thousands of times a second; the timer keeps the process alive.
 */
export function answerWithin<T>(
  ms: number,
  answer: Promise<T>,
  onTimeout: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(onTimeout()), ms)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
