import type { CacheOperation, CallEvent } from '@stowage/core'

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
    const { outcome, keys } = call
    const effect = effects[call.operation]
    if (effect === undefined) return
    const failed = outcome === 'error'
    if (effect.reads) {
      this.hit += call.hits
      this.miss += call.misses
      this.stale += call.stale
      this.shared += call.shared
      if (failed) this.error += Math.max(0, keys.length - foundBy(call))
    }
    if (failed || outcome === 'aborted') return
    if (effect.writes) this.writes += keys.length
    else if (effect.deletes) this.deletes += keys.length
  }
}

interface Effect {
  readonly reads?: boolean
  readonly writes?: boolean
  readonly deletes?: boolean
}

const read: Effect = { reads: true }
const write: Effect = { writes: true }
const deletion: Effect = { deletes: true }

/** What a call does with its keys. Others have none. */
const effects: { readonly [Operation in CacheOperation]?: Effect } = {
  get: read,
  getMany: read,
  snapshot: read,
  remember: read,
  rememberMany: read,
  set: write,
  setMany: write,
  add: write,
  replace: write,
  update: write,
  increment: write,
  touch: write,
  delete: deletion,
  deleteMany: deletion,
  expire: deletion,
  pull: { reads: true, deletes: true },
}

function foundBy({ hits, misses, stale, shared }: CallEvent): number {
  return hits + misses + stale + shared
}

export const results = ['hit', 'miss', 'stale', 'shared', 'error'] as const
