import { AsyncLocalStorage, createHook } from 'node:async_hooks'

/** Resources that Node creates for a connection attempt or a name lookup. */
const requestTypes: ReadonlySet<string> = new Set([
  'TCPCONNECTWRAP',
  'PIPECONNECTWRAP',
  'GETADDRINFOREQWRAP',
  'GETNAMEINFOREQWRAP',
  'QUERYWRAP',
  'UDPSENDWRAP',
])

/** Records the connection attempts and name lookups of a function, and of all that it has started. */
export class IoWatch {
  /** The types of the requests. */
  readonly requests: string[] = []
  /** Tells the requests of the function from those of other tests, which may run at the same time. */
  readonly #context = new AsyncLocalStorage<IoWatch>()

  async run<T>(work: () => Promise<T>): Promise<T> {
    const hook = createHook({
      init: (_id, type) => {
        const isOwn = this.#context.getStore() === this
        if (isOwn && requestTypes.has(type)) this.requests.push(type)
      },
    })
    hook.enable()
    try {
      return await this.#context.run(this, work)
    } finally {
      hook.disable()
    }
  }
}
