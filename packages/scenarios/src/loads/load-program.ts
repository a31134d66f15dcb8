import type { Cache, LoadContext, LoadManyContext, Payload } from '@stowage/core'
import { type ByteStore, type StoreOperation, wrapStore } from '@stowage/core/driver'
import { strongRead } from '@stowage/core/internal'
import type { ProcessContext, Program } from '@stowage/testing/simulation'
import { orderedStore } from '../ordered-store.ts'
import {
  fullKey,
  type Load,
  type LoadCall,
  LoadLog,
  loadKeys,
  type RememberSettings,
  type ValueId,
} from './judges/load-history.ts'

type RememberCall = LoadCall & { readonly op: 'remember' }

/** Makes the calls of the scenarios about loads, and records the loads. */
export class LoadProgram implements Program<LoadCall> {
  readonly #context: ProcessContext
  readonly #cache: Cache
  readonly #log: LoadLog
  constructor(context: ProcessContext) {
    const { Cache, prefix, clock, shared } = context
    this.#context = context
    this.#log = LoadLog.of(shared)
    shared.set('loads', this.#log)
    const ordered = orderedStore(context)
    this.#cache = new Cache(this.#recordReads(ordered), { prefix, clock })
    this.#cache.namespace('ns')
  }

  run(call: LoadCall): Promise<unknown> {
    // The first number that a call takes identifies it.
    const order = this.#context.nextOrder()
    const cache = call.inNamespace ? this.#cache.namespace('ns') : this.#cache
    const { key } = call
    switch (call.op) {
      case 'remember':
        return this.#remember(cache, call, order)
      case 'get':
        return cache.get(key, strongRead)
      case 'getMany':
        return cache.getMany(loadKeys, strongRead)
      case 'set':
      case 'add':
        return cache[call.op](key, { written: order }, { tags: call.tags })
      case 'update':
        return cache.update(key, () => ({ written: order }), { tags: call.tags }).then(ignore)
      case 'invalidate':
        return cache.invalidateTags(call.tags, { stale: call.stale })
      case 'delete':
      case 'expire':
        return cache[call.op](key)
      case 'clear':
        return cache.clear()
      case 'crowd':
        this.#forgetNamespaces()
        return Promise.resolve()
    }
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  /** Once in a run, because that takes as long as a hundred other calls. */
  #forgetNamespaces(): void {
    const { shared } = this.#context
    if (shared.has('crowd')) return
    shared.set('crowd', true)
    for (let count = 0; count < 1_000; count++) this.#cache.namespace(`other${count}`)
  }

  async #remember(cache: Cache, call: RememberCall, order: number): Promise<unknown> {
    const { ttl, staleWhileRevalidate, staleIfError, backoff, lease, refresh, timeout, tags } = call
    const windows = { staleWhileRevalidate, staleIfError }
    const options = { ttl, ...windows, backoff, lease, refresh, timeout, tags }
    const { signal, stop } = this.#abortAfter(call.abortMs)
    const limited = { ...options, ...(signal && { signal }) }
    try {
      if (call.group !== undefined) {
        return await cache.rememberMany<ValueId | undefined>(
          call.group,
          limited,
          (missing, context) => this.#loadMany(call, order, missing, context),
        )
      }
      return await cache.remember<ValueId | undefined>(call.key, limited, (context) =>
        this.#load(cache, call, order, context),
      )
    } finally {
      stop()
    }
  }

  async #loadMany(
    call: RememberCall,
    order: number,
    missing: readonly string[],
    context: LoadManyContext<ValueId | undefined>,
  ): Promise<(ValueId | undefined)[]> {
    const loads = missing.map((key) => {
      return this.#beginLoad({ ...call, key }, order, context.of(key), call)
    })
    try {
      const signal = call.stopsOnAbort ? context.signal : undefined
      await this.#context.clock.sleep(call.loadMs, signal)
      return loads.map((load, index) => {
        return returnValue(call, load, context.of(missing[index] as string))
      })
    } finally {
      for (const load of loads) load.endedAt = this.#now()
    }
  }

  async #load(
    cache: Cache,
    call: RememberCall,
    order: number,
    context: LoadContext<ValueId | undefined>,
  ): Promise<ValueId | undefined> {
    const load = this.#beginLoad(call, order, context, call)
    try {
      const signal = call.stopsOnAbort ? context.signal : undefined
      await this.#context.clock.sleep(call.loadMs, signal)
      if (call.nested !== undefined) await this.#loadNested(cache, call, call.nested, order)
      if (call.lateTags !== undefined) context.addTags(...call.lateTags)
      return returnValue(call, load, context)
    } finally {
      load.endedAt = this.#now()
    }
  }

  /** The call that the loader of another key makes. */
  async #loadNested(cache: Cache, call: RememberCall, key: string, order: number): Promise<void> {
    await cache.remember<ValueId>(key, {}, (context) => {
      const settings = { loadMs: 0, outcome: 'value', stopsOnAbort: false } as const
      const load = this.#beginLoad({ ...call, key }, order, context, settings, true)
      load.endedAt = this.#now()
      return { load: load.began }
    })
  }

  #beginLoad(
    call: Pick<LoadCall, 'key' | 'inNamespace'>,
    callOrder: number,
    context: LoadContext<ValueId | undefined>,
    settings: RememberSettings,
    isNested = false,
  ): Load {
    const { stale, background } = context
    const load: Load = {
      began: this.#context.nextOrder(),
      beganAt: this.#now(),
      endedAt: Infinity,
      process: this.#context.name,
      key: fullKey(call),
      callOrder,
      settings,
      isNested,
      isBackground: background,
      isRefresh: stale !== undefined,
      confirms: settings.outcome === 'not modified' ? stale : undefined,
    }
    this.#log.loads.push(load)
    return load
  }

  #abortAfter(ms: number | undefined) {
    if (ms === undefined) return { signal: undefined, stop: () => {} }
    const controller = new AbortController()
    const reason = Object.assign(new Error('the caller gave up'), { code: 'ERR_ABORTED' })
    const timer = setTimeout(() => controller.abort(reason), ms)
    return { signal: controller.signal, stop: () => clearTimeout(timer) }
  }

  /** Records the reads in flight, which concurrent calls of `remember` share, and marks that are stored by `set`. */
  #recordReads(store: ByteStore): ByteStore {
    const { nextOrder, name } = this.#context
    return wrapStore(store, (operation, call, args) => {
      if (operation === 'set') this.#checkMark(args as [string, Payload])
      const keys = keysRead(operation, args)
      if (keys.length === 0) return call()
      const began = nextOrder()
      const reads = keys.map((key) => ({ process: name, key, began, ended: Infinity }))
      this.#log.reads.push(...reads)
      const end = () => {
        const ended = nextOrder()
        for (const read of reads) read.ended = ended
      }
      const result = call()
      // The first reaction, so that the read has ended when its caller goes on.
      if (result instanceof Promise) result.then(end, end)
      else end()
      return result
    })
  }

  #checkMark([key, payload]: readonly [key: string, payload: Payload]): void {
    if (!String(payload).startsWith('\x01\x02')) return
    this.#log.blindMarks.push({ process: this.#context.name, key, at: this.#now() })
  }

  /** Virtual milliseconds. */
  #now(): number {
    return this.#context.now()
  }
}

/** The keys that an operation reads; for one without keys, its name. */
function keysRead(operation: StoreOperation, [first]: readonly unknown[]): readonly string[] {
  if (operation === 'get') return [first as string]
  if (operation === 'getMany') return first as string[]
  return operation === 'time' ? [operation] : []
}

function returnValue(
  { outcome }: RememberSettings,
  load: Load,
  context: LoadContext<ValueId | undefined>,
): ValueId | undefined {
  if (outcome === 'error') throw Object.assign(new Error('the load failed'), { code: 'ERR_LOAD' })
  if (outcome === 'undefined') return undefined
  if (outcome === 'skip') context.skip()
  if (outcome === 'private') context.skip({ share: false })
  if (outcome === 'not modified' && load.confirms !== undefined) return context.notModified()
  return { load: load.began }
}

function ignore(): void {}
