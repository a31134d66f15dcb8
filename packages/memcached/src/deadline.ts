import { timedOut } from './memcached-errors.ts'

/**
 * Gives `work` so much time, and less when `closing` aborts. Either way it settles then, and the signal it was given
 * aborts; as it does when the work is done, for what it left behind.
 */
export function within<T>(
  ms: number,
  closing: AbortSignal,
  ref: boolean,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (closing.aborted) return Promise.reject(closing.reason)
  const control = new AbortController()
  const { signal } = control
  const timer = setTimeout(() => control.abort(new Error(timedOut)), ms)
  if (!ref) timer.unref()
  const close = () => control.abort(closing.reason)
  closing.addEventListener('abort', close)
  return new Promise<T>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
    work(signal).then(resolve, reject)
  }).finally(() => {
    clearTimeout(timer)
    closing.removeEventListener('abort', close)
    control.abort()
  })
}
