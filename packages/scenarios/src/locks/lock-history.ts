export const lockKeys = ['key0', 'key1'] as const

/** A call of the scenario `locks`. */
export type LockCall = { readonly key: string } & (
  | {
      readonly op: 'run'
      readonly ttl: number
      readonly wait: number
      readonly workMs: number
      /** How many fencing numbers the work asks for. */
      readonly fences: number
    }
  /** Acquires the lock and leaves its owner to a later `adopt`. */
  | { readonly op: 'hand over'; readonly ttl: number }
  /** Releases the lock of an owner that another call has left. */
  | { readonly op: 'adopt' }
  /** Releases the lock with the owner of nobody. */
  | { readonly op: 'release' }
  | { readonly op: 'isLocked' | 'clear' }
)

/** The time for which a call holds a lock. Its members are numbers of the history's order. */
export interface HeldPeriod {
  readonly process: string
  readonly key: string
  readonly ttl: number
  /** When the call received the reply that it holds the lock. */
  readonly acquired: number
  readonly acquiredAt: number
  /** The last moment at which the work was active, and its signal had not aborted; without pauses of the process. */
  lastActive: number
  ended: number
  endedAt: number
  /** The fencing numbers that it received. */
  readonly fences: number[]
  /** Whether its signal has aborted. */
  isLost: boolean
  /** Whether another call may release it. */
  readonly isHandedOver: boolean
}

/** What the processes of a run record. */
export class LockLog {
  readonly tenures: HeldPeriod[] = []
  /** The owners of locks that were handed over, by key. */
  readonly owners: Record<string, string> = {}

  static of(shared: ReadonlyMap<string, unknown>): LockLog {
    return (shared.get('locks') as LockLog | undefined) ?? new LockLog()
  }
}
