import type { Collection } from '@stowage/core'
import { fc, type ProcessContext, type Program, type Scenario } from '@stowage/testing/simulation'
import {
  judgeExactWrites,
  judgeWriteThrough,
  type SourceState,
  type WriteCall,
} from './judge-write-through.ts'

const keys = ['key0', 'key1'] as const
const maxPauseMs = 12

/** Writers and readers of a collection, whose source is a database that all processes share. */
export const writeThrough: Scenario<WriteCall> = {
  name: 'write-through',
  summary: 'collections: the cache never keeps a value that was saved before another one',
  traits: fc.record({
    scan: fc.constant(true),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
  }),
  call: fc.record({
    op: fc.constantFrom('set', 'set', 'get', 'get', 'getMany', 'delete'),
    key: fc.constantFrom(...keys),
  }),
  gapMs: 6,
  faults: ['partition', 'restart', 'restart-empty', 'evict', 'pause', 'kill'],
  lastCalls: keys.map((key) => ({ op: 'get' as const, key })),
  isOwnKey: () => false,
  start: (context) => new WriteThroughProgram(context),
  judge: (history, { shared }) => judgeWriteThrough(history, shared.get('source') as SourceState),
}

/** The same with exact collections, whose writers may be killed after they have saved. */
export const exactWrites: Scenario<WriteCall> = {
  ...writeThrough,
  name: 'exact-writes',
  summary: 'exact collections: no read that begins after a save returns an older value',
  traits: writeThrough.traits.map((traits) => ({ ...traits, variant: 1 })),
  faults: ['partition', 'restart', 'pause', 'kill', 'kill'],
  judge: (history, { shared }) => judgeExactWrites(history, shared.get('source') as SourceState),
}

class WriteThroughProgram implements Program<WriteCall> {
  readonly #context: ProcessContext
  readonly #source: SourceState
  readonly #collection: Collection<string, number, number>
  readonly #close: () => Promise<void>

  constructor(context: ProcessContext) {
    const { Cache, prefix, store, clock, shared, traits } = context
    this.#context = context
    this.#source = (shared.get('source') as SourceState | undefined) ?? {
      current: new Map(),
      saves: new Map(),
    }
    shared.set('source', this.#source)
    // Half of the runs have near caches, with a bound that is shorter than the time before the last calls.
    const exact = traits.variant === 1
    const near = traits.nodes === 1 && !exact ? { bus: context.bus, ttl: 1 } : undefined
    const cache = new Cache(store, { prefix, clock, near })
    this.#collection = cache.collection<number, string>('item', {
      exact,
      load: (key) => this.#load(key),
      save: (key, value) => this.#save(key, value),
      remove: (key) => this.#save(key, undefined),
    })
    this.#close = () => cache.close()
  }

  async run({ op, key }: WriteCall): Promise<unknown> {
    if (op === 'get') return this.#collection.get(key)
    if (op === 'getMany') return (await this.#collection.getMany([key]))[0]
    if (op === 'delete') return this.#collection.delete(key)
    // The value identifies the write.
    const value = this.#context.nextOrder()
    return this.#collection.set(key, value)
  }

  close(): Promise<void> {
    return this.#close()
  }

  async #load(key: string): Promise<number | undefined> {
    await this.#pause()
    const value = this.#source.current.get(key)
    await this.#pause()
    return value
  }

  async #save(key: string, value: number | undefined): Promise<undefined> {
    await this.#pause()
    this.#source.current.set(key, value)
    const saves = this.#source.saves.get(key) ?? []
    this.#source.saves.set(key, [...saves, { value, order: this.#context.nextOrder() }])
    await this.#pause()
  }

  #pause(): Promise<void> {
    return this.#context.clock.sleep(this.#context.nextOrder() % maxPauseMs)
  }
}
