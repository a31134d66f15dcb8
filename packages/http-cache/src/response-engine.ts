import { AsyncResource } from 'node:async_hooks'
import { type Awaitable, CacheError, type LoadContext } from '@stowage/core'
import { reportError } from './channels.ts'
import { untilSent, WaitingClients } from './exchange/clients.ts'
import type { Exchange } from './exchange/exchange.ts'
import { IncompleteResponseError } from './exchange/renderer.ts'
import { plainHit, Sender } from './exchange/sender.ts'
import { Fill } from './filling/fill.ts'
import { knownResponsesOf } from './filling/known-responses.ts'
import type { FillScope, FillTarget } from './filling/store-response.ts'
import type { ResolvedOptions } from './options.ts'
import { ageOf, mayReplaceError, type Use, useOf } from './policy/freshness.ts'
import { asksWhetherModified } from './request/conditions.ts'
import { requestTags } from './request/tags.ts'
import type { CacheOutcome } from './response/cache-status.ts'
import { CacheDeadlineError } from './storage/deadlines.ts'
import { decodeRecord, type ResponseRecord, type StoredItem } from './storage/record.ts'
import { type FoundResponse, ResponseStore, variantKey } from './storage/response-store.ts'

/** How long requests do not ask a cache that has failed, in milliseconds. */
const downMs = 1_000
/** How long a request waits for another process that refreshes a response which may be sent stale, in milliseconds. */
const staleWaitMs = 100
/** One of the waiting requests calls the handler instead. */
const abandoned = Symbol('abandoned')
/** A record of `Vary`, and then the variant. */
const maxRounds = 3

/** Answers requests with stored responses, or with those of the handler. */
export class ResponseEngine {
  readonly #options: ResolvedOptions
  readonly #scope: FillScope
  /** The requests of this process that refresh stale responses, by key. Each resolves when that has ended. */
  readonly #refreshing = new Map<string, Promise<void>>()
  /** The asynchronous context of refreshes: that of no request. */
  readonly #background = new AsyncResource('stowage:http:refresh')
  readonly #clients = new WaitingClients()
  #downUntil = 0

  constructor(options: ResolvedOptions) {
    const { cache, timeoutMs } = options
    const { hints, variants, unstored } = knownResponsesOf(cache)
    const store = new ResponseStore(cache, timeoutMs, hints)
    this.#options = options
    this.#scope = { options, store, sender: new Sender(options, store), variants, unstored }
  }

  /** Answers a request; at once if the cache replies at once. Never throws or rejects. */
  handle(exchange: Exchange): Awaitable<void> {
    const turn = untilSent(exchange.request, exchange.response)
    if (turn === undefined) return this.#answer(exchange)
    return turn.then((isOpen) => (isOpen ? this.#answer(exchange) : undefined))
  }

  #answer(exchange: Exchange): Awaitable<void> {
    const fail = (error: unknown) => {
      this.#report(exchange.keys.key, error)
      this.#bypass(exchange, 'store-failure')
    }
    try {
      const found = this.#find(exchange)
      const handled =
        found instanceof Promise
          ? found.then((value) => this.#handle(exchange, value))
          : this.#handle(exchange, found)
      return handled instanceof Promise ? handled.catch(fail) : handled
    } catch (error) {
      fail(error)
    }
  }

  /** Forgets what this process knows of a key, after it was deleted. */
  forget(key: string): void {
    this.#scope.store.forget(key)
    this.#scope.unstored.remove(key)
  }

  #handle(exchange: Exchange, found: FoundResponse | undefined): Awaitable<void> {
    if (found === undefined) return this.#bypass(exchange, 'store-failure')
    const { stored } = found
    const used = stored !== undefined && this.#useStored(exchange, found, stored)
    return used === true ? undefined : this.#handleMiss(exchange, found, used)
  }

  /** @param used whether the stored response was sent */
  async #handleMiss(
    exchange: Exchange,
    found: FoundResponse,
    used: Awaitable<boolean>,
  ): Promise<void> {
    if (used !== false && (await used)) return
    if (exchange.directives.has('only-if-cached')) return this.#sendGatewayTimeout(exchange)
    if (!this.#mayFill(exchange, found)) return this.#bypass(exchange)
    await this.#fill(exchange, found)
  }

  /** Returns `undefined` if the cache does not reply. */
  #find({ keys, headers, conditions }: Exchange): Awaitable<FoundResponse | undefined> {
    if (this.#downUntil > 0 && performance.now() < this.#downUntil) return undefined
    const { store, sender } = this.#scope
    const body = conditions.method !== 'HEAD' && !asksWhetherModified(conditions)
    const encoding = sender.encodingFor(conditions, { isEncodable: true })
    const fail = (error: unknown) => {
      if (isFailureOfStore(error)) this.#downUntil = performance.now() + downMs
      this.#report(keys.key, error)
      return undefined
    }
    try {
      const found = store.find(keys.key, headers, { body, encoding })
      return found instanceof Promise ? found.catch(fail) : found
    } catch (error) {
      return fail(error)
    }
  }

  /** Sends a stored response if the request may receive it. Returns whether it was sent. */
  #useStored(
    exchange: Exchange,
    found: FoundResponse,
    stored: StoredItem<ResponseRecord>,
  ): boolean | Promise<boolean> {
    const { freshness, storedAt } = stored.record
    if (exchange.hasAuthorization && !freshness.isShared) return false
    const age = ageOf(freshness, storedAt, this.#now())
    const use = useOf(freshness, age, exchange.directives)
    exchange.reason = age < freshness.lifetime ? 'request' : 'stale'
    exchange.mayBeSentStale = use === 'stale'
    if (use === 'fresh') return this.#send(exchange, stored, plainHit, found.parts)
    if (!this.#isSentStale(exchange, found, use, mayReplaceError(freshness, age))) return false
    return this.#send(exchange, stored, plainHit, found.parts)
  }

  /** Whether a response that is not fresh is sent now. Begins to refresh it where no client is needed for that. */
  #isSentStale(
    exchange: Exchange,
    { key, vary }: FoundResponse,
    use: Use,
    mayReplace: boolean,
  ): boolean {
    const { directives, keys, renderer } = exchange
    const hasFailed = this.#scope.unstored.has(key, 'failed')
    if (hasFailed && mayReplace && !directives.has('no-cache')) return true
    if (use !== 'stale') return false
    // A refresh that has failed is not repeated at once.
    if (this.#refreshing.has(key) || this.#scope.unstored.has(key)) return true
    if (!renderer.isDetached) return false
    this.#refreshInBackground(exchange, { baseKey: keys.key, key, vary })
    return true
  }

  /** Whether the response of the handler may be stored and shared. */
  #mayFill(exchange: Exchange, { key, vary, stored }: FoundResponse): boolean {
    const { conditions, directives, keys } = exchange
    if (vary !== undefined && stored === undefined) exchange.reason = 'vary-miss'
    if (conditions.method === 'HEAD' || directives.has('no-store')) return false
    // The complete response may be large, and the client has asked for a part of it only.
    if (conditions.range !== undefined && stored === undefined) return false
    const { unstored } = this.#scope
    if (unstored.has(key) || unstored.has(keys.key)) return false
    return !unstored.has(key, 'unlikely') || !this.#clients.has(key)
  }

  /** Runs the handler, or waits for the request that does. */
  async #fill(exchange: Exchange, found: FoundResponse): Promise<void> {
    const { keys } = exchange
    let target: FillTarget = { baseKey: keys.key, key: found.key, vary: found.vary }
    let refresh = found.stored !== undefined
    const refreshing = refresh ? this.#refreshing.get(target.key) : undefined
    if (
      refreshing !== undefined &&
      (await this.#answerAfterRefresh(exchange, target.key, refreshing))
    )
      return
    const endRefresh = refresh ? this.#beginRefresh(target.key) : undefined
    let wasAbandoned = false
    try {
      for (let round = 0; round < maxRounds; round++) {
        const value = await this.#remember(exchange, target, refresh)
        if (exchange.isTaken) return
        if (value === abandoned) {
          // Not a second time: clients that leave must not delay others in turn.
          if (wasAbandoned) break
          wasAbandoned = true
          continue
        }
        const item = decodeRecord(value)
        if (value !== undefined && item === undefined) {
          // Damaged, or of another version: it is replaced.
          refresh = true
          continue
        }
        if (item?.record.kind === 'response') {
          const stored = item as StoredItem<ResponseRecord>
          if (await this.#sendShared(exchange, stored, target.key)) return
          break
        }
        if (item?.record.kind !== 'vary' || target.vary !== undefined) break
        const variant = variantKey(keys.key, item.record, exchange.headers)
        target = { baseKey: keys.key, key: variant, vary: item.record }
        refresh = false
      }
    } finally {
      endRefresh?.()
    }
    this.#bypass(exchange)
  }

  /** Lets other requests wait for this one. Returns a function that ends that; `undefined` if they wait for another one. */
  #beginRefresh(key: string): (() => void) | undefined {
    if (this.#refreshing.has(key)) return undefined
    let resolve!: () => void
    const ended = new Promise<void>((onEnd) => {
      resolve = onEnd
    })
    this.#refreshing.set(key, ended)
    return () => {
      this.#refreshing.delete(key)
      resolve()
    }
  }

  /**
   * Waits for the request of this process that refreshes the response, and answers this one with what is stored then, or with
   * its handler if that is to run for each request. Returns false if another request has to refresh it.
   */
  async #answerAfterRefresh(
    exchange: Exchange,
    key: string,
    refreshing: Promise<void>,
  ): Promise<boolean> {
    const waitMs = exchange.mayBeSentStale ? staleWaitMs : this.#options.waitMs
    const leave = this.#clients.join(key, exchange.request.socket)
    const isOver = await endsWithin(refreshing, waitMs).finally(leave)
    const found = await this.#find(exchange)
    if (found?.stored !== undefined && (await this.#sendShared(exchange, found.stored, found.key)))
      return true
    if (isOver && found !== undefined && this.#mayFill(exchange, found)) return false
    this.#bypass(exchange)
    return true
  }

  /**
   * Resolves to what is stored under the key, or is loaded by this or another request; `undefined` if that takes too long
   * or fails, or if the handler of this request has run; `abandoned` if the client of another request has left before its
   * response was complete.
   */
  #remember(
    exchange: Exchange,
    target: FillTarget,
    refresh: boolean,
  ): Promise<Buffer | typeof abandoned | undefined> {
    return new Promise((resolve) => {
      const giveUp = () => resolve(undefined)
      const timer = setTimeout(giveUp, this.#options.waitMs)
      const leave = this.#clients.join(target.key, exchange.request.socket)
      this.#load(exchange, target, refresh)
        .then(resolve, (error) => {
          if (!exchange.isTaken && error instanceof IncompleteResponseError) resolve(abandoned)
          // The errors of the own handler are handled where it is called.
          else if (!exchange.isTaken) this.#report(target.key, error)
          giveUp()
        })
        .finally(() => {
          clearTimeout(timer)
          leave()
        })
    })
  }

  async #load(
    exchange: Exchange,
    target: FillTarget,
    refresh: boolean,
  ): Promise<Buffer | undefined> {
    const { cache } = this.#options
    const { isBackground, mayBeSentStale, renderer } = exchange
    const tags = requestTags(exchange, this.#options.variation)
    const timeout = refresh && mayBeSentStale && !isBackground ? staleWaitMs : undefined
    const options = {
      ttl: '1ms' as const,
      tags,
      refresh,
      ...(timeout !== undefined && { timeout }),
      // A client that leaves must not keep others from storing the response: a backoff is for handlers that fail.
      ...(!renderer.isDetached && { backoff: 0 }),
    }
    const fill = new Fill(this.#scope, exchange, target)
    return cache.remember<Buffer | undefined>(target.key, options, (loading: LoadContext) => {
      const context = loading as LoadContext<Buffer>
      if (isBackground || renderer.stop === undefined) return fill.load(context)
      // What is rendered apart from its client is stopped after the last one has left.
      const release = this.#clients.onLeft(target.key, () => renderer.stop?.())
      return fill.load(context).finally(release)
    })
  }

  /** Sends the response of another request, unless it must be validated for each request. */
  #sendShared(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    key: string,
  ): boolean | Promise<boolean> {
    const { freshness, storedAt } = stored.record
    if (exchange.hasAuthorization && !freshness.isShared) return false
    const age = ageOf(freshness, storedAt, this.#now())
    const isNew = storedAt >= exchange.startedAt
    const isFresh = age < freshness.lifetime
    if (isNew && isFresh) {
      return this.#send(exchange, stored, { forwarded: exchange.reason, collapsed: true })
    }
    const use = useOf(freshness, age, exchange.directives)
    const { unstored } = this.#scope
    const mayReplace = !exchange.directives.has('no-cache') && mayReplaceError(freshness, age)
    const isStale =
      use === 'stale' || (use === 'validate' && unstored.has(key, 'failed') && mayReplace)
    return use === 'fresh' || isStale ? this.#send(exchange, stored, plainHit) : false
  }

  #refreshInBackground(exchange: Exchange, target: FillTarget): void {
    const { key } = target
    const endRefresh = this.#beginRefresh(key)
    exchange.renderer.prepare?.()
    const background: Exchange = {
      ...exchange,
      isBackground: true,
      isTaken: false,
      reason: 'stale',
    }
    this.#background.runInAsyncScope(() => {
      this.#load(background, target, true)
        .catch((error) => this.#report(key, error))
        .finally(endRefresh)
    })
  }

  #send(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    outcome: CacheOutcome,
    parts?: FoundResponse['parts'],
  ): boolean | Promise<boolean> {
    const sent = this.#scope.sender.send(exchange, stored, outcome, parts)
    if (typeof sent === 'boolean') return onSent(exchange, sent)
    return sent.then((isSent) => onSent(exchange, isSent))
  }

  /** Runs the handler without the cache. */
  #bypass(exchange: Exchange, detail?: CacheOutcome['detail']): void {
    if (exchange.isTaken) return
    exchange.isTaken = true
    const { reason } = exchange
    this.#scope.sender.setStatus(exchange, { forwarded: reason, detail })
    exchange.renderer.bypass()
  }

  #sendGatewayTimeout(exchange: Exchange): void {
    exchange.isTaken = true
    this.#scope.sender.setStatus(exchange, { forwarded: 'request' })
    exchange.response.statusCode = 504
    exchange.response.end()
  }

  #report(key: string, error: unknown): void {
    reportError(this.#options.cache.name, key, error)
  }

  #now(): number {
    return this.#options.cache.clock.now()
  }
}

/** Whether other requests would fail as well: not if a header of this one, or a codec of the application, is wrong. */
function isFailureOfStore(error: unknown): boolean {
  return CacheError.is(error) || error instanceof CacheDeadlineError
}

function onSent(exchange: Exchange, isSent: boolean): boolean {
  if (isSent) exchange.isTaken = true
  return isSent
}

/** Whether a promise, which never rejects, resolves within a time. */
function endsWithin(work: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, false)
    work.then(() => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
