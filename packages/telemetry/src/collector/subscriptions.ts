import { channel } from 'node:diagnostics_channel'

/** Subscriptions to channels, which end together. */
export class Subscriptions {
  readonly #ends: (() => void)[] = []

  /** @param name of a channel of `node:diagnostics_channel` */
  add<E>(name: string, listener: (event: E) => void): void {
    const subscribed = channel(name)
    const onEvent = (event: unknown) => listener(event as E)
    subscribed.subscribe(onEvent)
    this.#ends.push(() => subscribed.unsubscribe(onEvent))
  }

  end(): void {
    for (const end of this.#ends.splice(0)) end()
  }
}
