import type { SentRequest } from '../backend/network.ts'

/** A call of a workload, and what became of it. */
export interface HistoryEntry<Call = unknown> {
  readonly process: string
  readonly call: Call
  /** When it began, in the order of everything that happened. */
  readonly invoked: number
  readonly invokedAt: number
  /** When its outcome was known; `undefined` if it never was. */
  settled: number | undefined
  settledAt: number
  /** What it resolved to; `undefined` if it failed. */
  outcome: Outcome | undefined
  /** Whether the network lost or delayed one of its messages. */
  isDisturbed: boolean
  /** If it failed or never settled: whether none of its requests was executed. */
  hasNoEffect: boolean
  /** If it failed or never settled: when it can have taken effect, in the order of everything that happened. */
  effectiveFrom: number
  effectiveUntil: number
  effectiveUntilAt: number
}

export type Outcome =
  | { readonly status: 'fulfilled'; readonly value: unknown }
  | { readonly status: 'rejected'; readonly error: unknown }

/** An item that the backend lost: evicted, or lost in a restart. */
export interface Loss {
  readonly key: string
  readonly order: number
  readonly at: number
}

/** A change of the nodes, after which old items may be read. */
export interface NodeChange {
  readonly order: number
  readonly at: number
}

/** The clock of a process was set forward, or back if `ms` is negative. */
export interface ClockStep {
  readonly process: string
  readonly at: number
  readonly ms: number
}

/** What a run leaves to its judges. */
export interface History<Call = unknown> {
  readonly entries: readonly HistoryEntry<Call>[]
  readonly losses: readonly Loss[]
  /** When nodes were added, removed or replaced by others. */
  readonly nodeChanges: readonly NodeChange[]
  /** When clocks of processes were set. */
  readonly clockSteps: readonly ClockStep[]
  /** The requests to the backend. */
  readonly requests: readonly SentRequest[]
  /** The processes that were killed. */
  readonly killed: readonly string[]
  /** Whether the run was without faults. */
  readonly isFaultless: boolean
  /** Whether a slow machine may have delayed calls, because the run took place in real time. @default false */
  readonly isRealTime?: boolean
}

/** The value that a call resolved to. */
export function resultOf({ outcome }: HistoryEntry): unknown {
  return outcome?.status === 'fulfilled' ? outcome.value : undefined
}

export function isAcknowledged({ outcome }: HistoryEntry): boolean {
  return outcome?.status === 'fulfilled'
}
