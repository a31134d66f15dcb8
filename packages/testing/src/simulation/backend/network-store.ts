import type { Payload, ReadOptions, StoreLimits } from '@stowage/core'
import {
  BatchError,
  type ByteStore,
  InFlight,
  type ItemWithTtl,
  Lifecycle,
} from '@stowage/core/driver'
import type { ReferenceStore } from '../../reference-store.ts'
import type { SimulatedProcess } from '../world/simulated-process.ts'
import { type Backend, nodeOf } from './backend.ts'
import type { BackendNode, NodeCopy } from './backend-node.ts'
import type { Network } from './network.ts'
import type { ReplicationProgress } from './replication-progress.ts'

type Entries = readonly (readonly [key: string, payload: Payload])[]
type Execute<T> = (store: ReferenceStore) => T

const tokenPattern = /^simulated:(\d+)$/

/** The store of one process: sends each call over the simulated network. */
export class NetworkStore implements ByteStore {
  readonly name = 'simulated'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly durable: boolean
  readonly scan?: (prefix: string) => AsyncGenerator<string[], void, undefined>
  readonly time?: () => Promise<number>
  readonly consistencyToken?: () => string
  readonly observe?: (token: string) => void
  /** The nodes that this process has been notified of. */
  nodes: readonly BackendNode[]
  readonly #revealsTtl: boolean
  readonly #process: SimulatedProcess
  readonly #network: Network
  readonly #tracker: ReplicationProgress
  readonly #lifecycle = new Lifecycle('simulated')
  readonly #inFlight = new InFlight()
  /** The copies that are being queried. */
  readonly #queried = new Set<number>()

  constructor(
    process: SimulatedProcess,
    backend: Backend,
    network: Network,
    tracker: ReplicationProgress,
  ) {
    const { scan, time, revealsTtl, ttlStep, valueBytes, durable, copies } = backend.traits
    this.limits = { keyBytes: 250, valueBytes, ttlStep }
    this.durable = durable
    this.nodes = backend.nodes
    this.#process = process
    this.#network = network
    this.#tracker = tracker
    if (scan) this.scan = (prefix) => this.#pages(prefix)
    if (time) this.time = () => this.#send('time', [], this.nodes[0], () => backend.clock.now())
    this.#revealsTtl = revealsTtl
    if (copies === 0) return
    this.consistencyToken = () => `simulated:${tracker.expected}`
    this.observe = (token) => tracker.expect(Number(tokenPattern.exec(token)?.[1] ?? 0))
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    const node = this.#nodeOf(key)
    const copy = this.#copyFor(node, options)
    if (copy !== undefined) return this.#send('get', [key], node, () => copy.store.get(key))
    return this.#sendOne('get', key, (store) => store.get(key))
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    const read = (node: BackendNode | undefined, some: readonly string[]) => {
      const copy = this.#copyFor(node, options)
      return this.#send('getMany', some, node, ({ store }) => (copy?.store ?? store).getMany(some))
    }
    return this.#split(keys, (key) => key, read)
  }

  getWithTtl(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    const read = (node: BackendNode | undefined, some: readonly string[]) => {
      const copy = this.#copyFor(node, options)
      return this.#send('getWithTtl', some, node, ({ store }) => {
        const found = (copy?.store ?? store).getWithTtl(some)
        return this.#revealsTtl ? found : found.map((each) => each && { ...each, ttl: undefined })
      })
    }
    return this.#split(keys, (key) => key, read)
  }

  set(key: string, payload: Payload, ttl?: number): Promise<void> {
    return this.#write('set', key, (store) => store.set(key, payload, ttl))
  }

  async setMany(entries: Entries, ttl?: number): Promise<void> {
    const write = async (node: BackendNode | undefined, some: Entries) => {
      const keys = some.map(([key]) => key)
      await this.#writeTo(node, 'setMany', keys, (store) => store.setMany(some, ttl))
      return some.map(() => undefined)
    }
    await this.#split(entries, ([key]) => key, write)
  }

  add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    return this.#write('add', key, (store) => store.add(key, payload, ttl))
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#write('compareAndSet', key, (store) =>
      store.compareAndSet(key, expected, next, ttl),
    )
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', key, (store) => store.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#write('touch', key, (store) => store.touch(key, ttl))
  }

  delete(key: string): Promise<boolean> {
    return this.#write('delete', key, (store) => store.delete(key))
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    const remove = (node: BackendNode | undefined, some: readonly string[]) =>
      this.#writeTo(node, 'deleteMany', some, (store) => some.map((key) => store.delete(key)))
    const deleted = await this.#split(keys, (key) => key, remove)
    return deleted.filter((existed) => existed).length
  }

  async clear(): Promise<void> {
    await Promise.all(
      this.nodes.map((node) => this.#writeTo(node, 'clear', undefined, (store) => store.clear())),
    )
  }

  async ping(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.#send('ping', [], node, () => {})))
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#inFlight.idle())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#pages(prefix: string): AsyncGenerator<string[], void, undefined> {
    for (const node of this.nodes) {
      yield await this.#send('scan', [prefix], node, ({ store }) =>
        [...store.items.keys()].filter(
          (key) => key.startsWith(prefix) && store.get(key) !== undefined,
        ),
      )
    }
  }

  #nodeOf(key: string): BackendNode | undefined {
    return nodeOf(key, this.nodes)
  }

  /** The copy that may serve a read, if any. Queries a copy that may not have caught up yet. */
  #copyFor(node: BackendNode | undefined, options?: ReadOptions): NodeCopy | undefined {
    const copies = node?.copies ?? []
    if (node === undefined || copies.length === 0 || options?.consistency === 'strong') return
    const index = this.#process.random.integer(0, copies.length - 1)
    if (options?.consistency === 'eventual' || this.#tracker.isCaughtUp(index)) return copies[index]
    if (!this.#queried.has(index)) this.#query(node, index).catch(() => {})
    return undefined
  }

  async #query(node: BackendNode, index: number): Promise<void> {
    const { expected } = this.#tracker
    this.#queried.add(index)
    try {
      const applied = await this.#send('applied', [], node, () => node.copies[index]?.applied ?? 0)
      this.#tracker.update(index, applied, expected)
    } finally {
      this.#queried.delete(index)
    }
  }

  /** Divides a call by nodes. Rejects with a `BatchError` if some of the calls fail. */
  async #split<E, T>(
    entries: readonly E[],
    keyOf: (entry: E) => string,
    call: (node: BackendNode | undefined, some: readonly E[]) => Promise<T[]>,
  ): Promise<T[]> {
    if (this.nodes.length <= 1) return call(this.nodes[0], entries)
    const groups = new Map<BackendNode | undefined, number[]>()
    for (const [index, entry] of entries.entries()) {
      const node = this.#nodeOf(keyOf(entry))
      const group = groups.get(node)
      if (group === undefined) groups.set(node, [index])
      else group.push(index)
    }
    const outcomes: PromiseSettledResult<T>[] = []
    await Promise.all(
      [...groups].map(async ([node, indexes]) => {
        const some = indexes.map((index) => entries[index] as E)
        const [outcome] = await Promise.allSettled([call(node, some)])
        for (const [at, index] of indexes.entries()) {
          outcomes[index] =
            outcome.status === 'rejected'
              ? outcome
              : { status: 'fulfilled', value: outcome.value[at] as T }
        }
      }),
    )
    if (outcomes.some(({ status }) => status === 'rejected')) throw new BatchError(outcomes)
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value)
  }

  #write<T>(operation: string, key: string, execute: Execute<T>): Promise<T> {
    return this.#writeTo(this.#nodeOf(key), operation, [key], execute)
  }

  #writeTo<T>(
    node: BackendNode | undefined,
    operation: string,
    keys: readonly string[] | undefined,
    execute: Execute<T>,
  ): Promise<T> {
    let written = 0
    const acknowledge = () => this.#tracker.expect(written)
    const write = (target: BackendNode) => {
      try {
        return execute(target.store)
      } finally {
        target.replicate(keys)
        written = target.written
      }
    }
    return this.#send(operation, keys ?? [], node, write, acknowledge)
  }

  #sendOne<T>(operation: string, key: string, execute: Execute<T>): Promise<T> {
    return this.#send(operation, [key], this.#nodeOf(key), ({ store }) => execute(store))
  }

  #send<T>(
    operation: string,
    keys: readonly string[],
    node: BackendNode | undefined,
    execute: (node: BackendNode) => T,
    onReply: () => void = ignore,
  ): Promise<T> {
    try {
      this.#lifecycle.assertOpen(operation)
    } catch (error) {
      return Promise.reject(error)
    }
    this.#inFlight.begin()
    const onEnd = () => this.#inFlight.end()
    return this.#network.send({
      process: this.#process,
      node,
      operation,
      keys,
      execute,
      onReply,
      onEnd,
    })
  }
}

function ignore(): void {}
