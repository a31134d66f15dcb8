import type { CallEvent } from '@stowage/core'

/** What is counted for a cache, in fields that an event changes without a lookup. */
export class CacheCounts {
  /** The keys that were read, by what the call received. `error`: of calls that failed. */
  hit = 0
  miss = 0
  stale = 0
  shared = 0
  error = 0
  /** The keys that calls have written. */
  writes = 0
  /** The keys that calls have deleted. */
  deletes = 0

  /** Counts a call that has settled. */
  add(call: CallEvent): void {
    const { operation, outcome, keys } = call
    const failed = outcome === 'error'
    if (reads.has(operation)) {
      this.hit += call.hits
      this.miss += call.misses
      this.stale += call.stale
      this.shared += call.shared
      if (failed) this.error += Math.max(0, keys.length - foundBy(call))
    }
    if (failed || outcome === 'aborted') return
    if (writes.has(operation)) this.writes += keys.length
    else if (deletes.has(operation)) this.deletes += keys.length
  }
}

const reads: ReadonlySet<string> = new Set([
  ...['get', 'getMany', 'pull', 'snapshot', 'remember', 'rememberMany'],
])
const writes: ReadonlySet<string> = new Set([
  ...['set', 'setMany', 'add', 'replace', 'update', 'increment', 'touch'],
])
const deletes: ReadonlySet<string> = new Set(['delete', 'deleteMany', 'pull', 'expire'])

function foundBy({ hits, misses, stale, shared }: CallEvent): number {
  return hits + misses + stale + shared
}

export const results = ['hit', 'miss', 'stale', 'shared', 'error'] as const
