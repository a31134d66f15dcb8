export const limitPolicies = ['fixed', 'sliding', 'bucket'] as const
export type LimitPolicyName = (typeof limitPolicies)[number]

/** How many units of each key may be consumed in a window. */
export const unitLimit = 5
export const windowMs = 1_000
/** How many calls of `slot` may run at the same time. */
export const slotLimit = 2
/** Only single units of this key are consumed. */
export const singleKey = 'key0'
export const limitKeys = ['key0', 'key1'] as const

/** A call of the scenario `limits`. */
export type LimitCall = { readonly policy: LimitPolicyName; readonly key: string } & (
  | {
      readonly op: 'consume'
      readonly cost: number
      readonly onError: 'throw' | 'allow' | 'deny'
    }
  | { readonly op: 'undo'; readonly cost: number }
  | { readonly op: 'peek' | 'reset' | 'clear' }
  | { readonly op: 'slot'; readonly ttl: number; readonly wait: number; readonly workMs: number }
)

/** A call of `consume` that the store has counted. */
export interface Consumption {
  readonly process: string
  readonly policy: LimitPolicyName
  readonly key: string
  readonly cost: number
  /** By the order of the history. */
  readonly invoked: number
  readonly invokedAt: number
  readonly settled: number
  readonly settledAt: number
  readonly allowed: boolean
  /** The storage key of the counter; `''` for a bucket. */
  readonly counter: string
  /** How much of the window is left, in milliseconds. */
  readonly remainingMs: number
}

/** The use of a slot. Its members are numbers of the history's order. */
export interface SlotUse {
  readonly process: string
  readonly acquired: number
  readonly acquiredAt: number
  lastActive: number
}

/** What the processes of a run record. */
export class LimitLog {
  readonly consumptions: Consumption[] = []
  readonly slots: SlotUse[] = []

  static of(shared: ReadonlyMap<string, unknown>): LimitLog {
    return (shared.get('limits') as LimitLog | undefined) ?? new LimitLog()
  }
}
