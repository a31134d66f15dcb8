import type { Cache, Clock, failover, InvalidationBus, memo } from '@stowage/core'
import type { ByteStore, withKeyOrder } from '@stowage/core/driver'
import type { Arbitrary } from 'fast-check'
import type { BackendTraits } from '../backend/backend.ts'
import type { History } from './history.ts'

/** A fault of the world, in addition to those of the network. */
export type FaultKind =
  /** The network separates a process from the backend. */
  | 'partition'
  /** The network separates a process from the bus. The backend remains reachable. */
  | 'partition-bus'
  /** A copy receives no writes. */
  | 'partition-copy'
  /** A node is down, and comes back with its items. */
  | 'restart'
  /** A node is down, and comes back without items. */
  | 'restart-empty'
  /** The backend evicts an item. */
  | 'evict'
  /** The backend evicts all items that the scenario calls related. */
  | 'evict-related'
  /** A node is added, and removed later. */
  | 'node-added'
  /** A node is removed, and added with its old items later. */
  | 'node-removed'
  /** A node is replaced by one with the items it had some time ago. */
  | 'node-replaced'
  /** A node is down, and comes back without its last writes. */
  | 'lost-writes'
  /** A process stops, and goes on later. */
  | 'pause'
  /** A process ends. */
  | 'kill'
  /** The clock of a process is set forward or back. */
  | 'clock-step'

/** The faults of a backend whose nodes stay the same. */
export const faultsOfFixedNodes: readonly FaultKind[] = [
  'partition',
  'partition-copy',
  'restart',
  'restart-empty',
  'evict',
  'pause',
  'kill',
  'clock-step',
]

/** What one process of a scenario uses. Everything that it does goes through these. */
export interface ProcessContext {
  readonly name: string
  /** The prefix of its caches. */
  readonly prefix: string
  readonly store: ByteStore
  /** Absent on real stores. */
  readonly bus?: InvalidationBus | undefined
  readonly clock: Clock
  readonly traits: BackendTraits
  /** The class to create caches with. */
  readonly Cache: typeof Cache
  readonly withKeyOrder: typeof withKeyOrder
  readonly failover: typeof failover
  readonly memo: typeof memo
  /** What the processes of a run share besides the backend, such as a database or a mailbox. */
  readonly shared: Map<string, unknown>
  /** The next number of the sequence that orders everything, as in the history. */
  nextOrder(): number
  /** Milliseconds since the start, as in the history. */
  now(): number
  /** Registers what to do when the run is over. A process that was killed is not closed, and yet this is done. */
  onEnd(work: () => void): void
}

/** What one process runs. */
export interface Program<Call> {
  /** Makes a call. What it resolves to, or that it rejects, becomes part of the history. */
  run(call: Call): Promise<unknown>
  close(): Promise<void>
}

/** What a judge knows besides the history. */
export interface JudgeContext {
  readonly traits: BackendTraits
  /** What the processes shared. */
  readonly shared: ReadonlyMap<string, unknown>
}

/** A workload, and the rules that its history must keep. */
export interface Scenario<Call = unknown> {
  readonly name: string
  /** One line that says what is tested. */
  readonly summary: string
  /** The backends to choose from. */
  readonly traits: Arbitrary<Partial<BackendTraits>>
  /** The calls to choose from. */
  readonly call: Arbitrary<Call>
  /** Time between two calls on average, in milliseconds. @default 3 */
  readonly gapMs?: number
  /** Pauses between groups of calls, in milliseconds: groups begin at multiples of it. @default no groups */
  readonly groupMs?: number
  /** Whether calls of one process are made in the same tick often. @default false */
  readonly ticks?: boolean
  /** The faults of the world that can occur. */
  readonly faults: readonly FaultKind[]
  /** Maximum number of calls, unless given. @default 60 */
  readonly maxCalls?: number
  /** Whether the backend evicts this item together with others. @default never */
  isRelated?(key: string): boolean
  /** Whether to leave out the faults on such a backend. @default false */
  withoutFaults?(traits: Partial<BackendTraits>): boolean
  /** Calls that each process makes in the end, when all faults are over. @default none */
  readonly lastCalls?: readonly Call[]
  /** Whether an entry of a map belongs to the workload. No map of the process may contain one in the end. */
  isOwnKey?(key: string, value: unknown): boolean
  /**
   * Whether a call may fail with an error of the application, which is a part of the history then. Errors with a `code`, as
   * those of the cache, always are. @default no other error, so that a mistake in the cache or in the program is a finding
   */
  isExpectedError?(error: unknown): boolean
  start(context: ProcessContext): Program<Call>
  /** Returns what is wrong with a history, if anything. */
  judge(history: History<Call>, context: JudgeContext): string | undefined
}
