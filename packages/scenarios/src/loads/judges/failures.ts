import type { LoadHistory } from './load-history.ts'

/** A call of `remember` failed because the store did: it must return the loaded value. */
export function findStoreFailure({ entries }: LoadHistory): string | undefined {
  for (const { call, outcome, process, invokedAt } of entries) {
    if (call.op !== 'remember' || outcome?.status !== 'rejected') continue
    const { code } = outcome.error as { readonly code?: string }
    const isTimeout = code === 'ERR_CACHE_TIMEOUT' && call.timeout !== undefined
    // ERR_CACHE_LOAD: another call of the loader failed lately.
    if (isTimeout || code === undefined || expected.has(code)) continue
    return `${process} remember at ${invokedAt} ms failed with ${code}.`
  }
  return undefined
}

/** A lease or another mark was stored by `set`, which could replace a lease of another process. */
export function findBlindMark({ log }: LoadHistory): string | undefined {
  const [first] = log.blindMarks
  return first && `${first.process} stored a mark in ${first.key} by set at ${first.at} ms.`
}

const expected: ReadonlySet<string> = new Set(['ERR_LOAD', 'ERR_ABORTED', 'ERR_CACHE_LOAD'])
