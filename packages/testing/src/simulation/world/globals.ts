import type { World } from './world.ts'

/** A property that is replaced while a run lasts. */
interface Replacement {
  readonly target: object
  readonly name: string
  readonly value: unknown
}

/**
 * Replaces what code may use besides its `Clock` while `work` runs: random numbers, the time, timers, and `Map`, to see
 * which entries are left at the end. No other code of this Node process runs meanwhile, because a run never returns to
 * the event loop.
 */
export async function withSimulatedGlobals<T>(world: World, work: () => Promise<T>): Promise<T> {
  const restore = [...randomness(world), ...time(world), ...timers(world), ...observed(world)].map(
    replace,
  )
  try {
    return await work()
  } finally {
    for (const undo of restore) undo()
  }
}

function randomness(world: World): Replacement[] {
  const random = () => world.current?.random.next() ?? 0.5
  const fill = <T extends ArrayBufferView>(array: T) => world.current?.random.fill(array) ?? array
  const uuid = () =>
    Buffer.from(fill(new Uint8Array(16)))
      .toString('hex')
      .replace(uuidGroups, uuidForm)
  return [
    { target: Math, name: 'random', value: random },
    { target: crypto, name: 'getRandomValues', value: fill },
    { target: crypto, name: 'randomUUID', value: uuid },
  ]
}

const uuidGroups = /^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/
const uuidForm = '$1-$2-4$3-8$4-$5'

function time(world: World): Replacement[] {
  const { now } = Date
  return [
    { target: performance, name: 'now', value: () => world.current?.monotonic() ?? world.now },
    { target: Date, name: 'now', value: () => world.current?.clock.now() ?? now() },
  ]
}

function timers(world: World): Replacement[] {
  const start =
    (isRepeated: boolean) =>
    (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
      new SimulatedTimer(world, () => run(...args), ms, isRepeated)
  const stop = (timer: unknown) => {
    if (timer instanceof SimulatedTimer) timer.cancel()
  }
  const immediate = (run: (...args: unknown[]) => void, ...args: unknown[]) =>
    new SimulatedTimer(world, () => run(...args), 0, false)
  return [
    { target: globalThis, name: 'setTimeout', value: start(false) },
    { target: globalThis, name: 'setInterval', value: start(true) },
    { target: globalThis, name: 'setImmediate', value: immediate },
    { target: globalThis, name: 'clearTimeout', value: stop },
    { target: globalThis, name: 'clearInterval', value: stop },
    { target: globalThis, name: 'clearImmediate', value: stop },
  ]
}

function observed(world: World): Replacement[] {
  const { nextTick } = process
  const tick = (...args: Parameters<typeof nextTick>) => {
    world.hasTicks = true
    nextTick(...args)
  }
  class ObservedMap<K, V> extends Map<K, V> {
    constructor(entries?: Iterable<readonly [K, V]> | null) {
      super(entries)
      // Later ones may be garbage already, which cannot be seen.
      if (world.isStarting) world.current?.maps.push(this)
    }
  }
  return [
    { target: process, name: 'nextTick', value: tick },
    { target: globalThis, name: 'Map', value: ObservedMap },
  ]
}

/** Has the methods of `NodeJS.Timeout` that libraries call. */
class SimulatedTimer {
  readonly #world: World
  readonly #run: () => void
  readonly #ms: number
  readonly #isRepeated: boolean
  #cancel: () => void = () => {}

  constructor(world: World, run: () => void, ms: number, isRepeated: boolean) {
    this.#world = world
    this.#run = run
    this.#ms = ms
    this.#isRepeated = isRepeated
    this.#start()
  }

  cancel(): void {
    this.#cancel()
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  #start(): void {
    const { current } = this.#world
    if (current === undefined) return
    this.#cancel = current.startTimer(this.#ms, () => {
      if (this.#isRepeated) this.#start()
      this.#run()
    })
  }
}

/** Returns a function that restores the property. */
function replace({ target, name, value }: Replacement): () => void {
  const original = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { value, configurable: true, writable: true })
  return () => {
    if (original === undefined) Reflect.deleteProperty(target, name)
    else Object.defineProperty(target, name, original)
  }
}
