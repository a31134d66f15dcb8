import { isPipelined } from '../exchange/clients.ts'
import type { Exchange } from '../exchange/exchange.ts'
import {
  IncompleteResponseError,
  type Rendered,
  type RenderFacts,
  StreamedResponseError,
} from '../exchange/renderer.ts'
import { plainHit } from '../exchange/sender.ts'
import { type Headers, textOf } from '../headers/header-list.ts'
import { ageOf, mayReplaceError } from '../policy/freshness.ts'
import type { Refusal, Verdict } from '../policy/storing.ts'
import { parseNoVarySearch } from '../request/query.ts'
import { originOf, searchPathOf } from '../request/request-keys.ts'
import type { CacheOutcome } from '../response/cache-status.ts'
import type { CapturedResponse, Decision, ResponseHead } from '../response/capture.ts'
import { decodeRecord, type ResponseRecord, type StoredItem } from '../storage/record.ts'
import type { RequestHeaders } from '../storage/response-store.ts'
import {
  buildRecord,
  groupTags,
  hasValidators,
  isEncodableBody,
  judgeRendered,
  mergeNotModified,
  validatorsOf,
  variesBy,
  withVary,
} from './build-record.ts'
import { FillAnswer } from './fill-answer.ts'
import { isSelfRedirect } from './self-redirect.ts'
import {
  type CompleteResponse,
  type Context,
  type FillScope,
  type FillTarget,
  storeResponse,
} from './store-response.ts'

/** How long other requests do not wait for a response that cannot be shared (hit-for-miss), in milliseconds. */
const privateMs = 10_000
const failedMs = 1_000
const noBody = Buffer.alloc(0)
/** Why the response of one request is not stored although that of another one with the same key may be. */
const ofRequest = new Set<Refusal>(['authorization', 'no-vary-search', 'self-redirect'])

/** Runs the handler for one request, answers that, and returns what is stored. It is the loader of a `remember`. */
export class Fill {
  readonly #scope: FillScope
  readonly #exchange: Exchange
  readonly #target: FillTarget
  readonly #answer: FillAnswer
  /**
   * Whether the response may be private, or an error, because of headers of this request, or of what middleware in front has
   * added to it, which others do not have.
   */
  #isOfRequest = false
  /** The headers of the request, which the handler may change. */
  #headers: RequestHeaders = {}
  #refuseEarly: ((refusal: Refusal) => void) | undefined

  constructor(scope: FillScope, exchange: Exchange, target: FillTarget) {
    this.#scope = scope
    this.#exchange = exchange
    this.#target = target
    this.#answer = new FillAnswer(scope, exchange, target.key)
  }

  async load(context: Context): Promise<Buffer | undefined> {
    const exchange = this.#exchange
    // The request was answered or bypasses the cache meanwhile: another one that waits calls its handler.
    if (exchange.isTaken) throw new IncompleteResponseError()
    exchange.isTaken = true
    this.#headers = { ...exchange.headers }
    const stale = await this.#staleOf(context)
    if (stale !== undefined && this.#hasFailed(stale)) return this.#sendKnownStale(context, stale)
    let rendered: Rendered | Refusal
    try {
      rendered = await Promise.race([this.#refusedEarly(), this.#render(stale)])
    } catch (error) {
      return this.#fail(context, error, stale)
    }
    if (typeof rendered === 'string') return this.#refuse(context, rendered)
    try {
      return await this.#conclude(context, rendered, stale)
    } catch (error) {
      this.#answer.sendUnstored(rendered.captured, error)
      throw error
    }
  }

  /** Whether the handler has failed for another request while this one waited, and that suffices for this one. */
  #hasFailed(stale: CompleteResponse): boolean {
    if (!this.#scope.unstored.has(this.#target.key, 'failed')) return false
    return !this.#exchange.directives.has('no-cache') && this.#mayReplace(stale)
  }

  /** Sends the stale response without calling the handler. */
  async #sendKnownStale(context: Context, stale: CompleteResponse): Promise<Buffer | undefined> {
    this.#answer.hold()
    await this.#answer.send(stale, plainHit)
    context.skip()
    return context.stale
  }

  /** The handler has failed, or its response cannot be rendered apart from its client. */
  async #fail(
    context: Context,
    error: unknown,
    stale: CompleteResponse | undefined,
  ): Promise<Buffer | undefined> {
    const { isBackground, renderer } = this.#exchange
    if (error instanceof StreamedResponseError) return this.#stream(context, error.refusal)
    if (stale !== undefined && renderer.isDetached && this.#mayReplace(stale))
      return this.#sendStale(context, stale, 500)
    if (!isBackground) renderer.fail(error)
    if (!this.#isOfRequest || isBackground) throw error
    // Without the backoff that follows an error.
    this.#skip(context, 'status', failedMs)
    return undefined
  }

  /** Stores the response of the handler, or refuses to. Answers the client if that was not done yet. */
  async #conclude(
    context: Context,
    rendered: Rendered,
    stale: CompleteResponse | undefined,
  ): Promise<Buffer | undefined> {
    const { captured, facts } = rendered
    this.#noteReads(facts)
    if (captured.status === 304 && stale !== undefined && hasValidators(stale.record)) {
      return this.#freshen(context, stale, rendered)
    }
    if (captured.status >= 500 && stale !== undefined) {
      if (this.#mayReplace(stale)) return this.#sendStale(context, stale, captured.status)
    }
    const verdict = this.#judge(captured, facts)
    if (verdict.refusal !== undefined) return this.#refuse(context, verdict.refusal, captured)
    return this.#keep(context, rendered, verdict)
  }

  #noteReads({ isOfRequest }: RenderFacts): void {
    this.#isOfRequest = isOfRequest
  }

  /** Resolves if it is known before the end of a body that it will not be stored, as that of a stream without end. */
  #refusedEarly(): Promise<Refusal> {
    return new Promise((resolve) => {
      this.#refuseEarly = resolve
    })
  }

  /** The stale response with its body, unless that is lost. */
  async #staleOf(context: Context): Promise<CompleteResponse | undefined> {
    const item = decodeRecord(context.stale)
    if (item?.record.kind !== 'response') return undefined
    const stored = item as StoredItem<ResponseRecord>
    const reading = Promise.resolve(this.#scope.store.bodyOf(stored, 'identity'))
    const body = await reading.catch(() => undefined)
    return body && { record: stored.record, body }
  }

  async #render(stale: CompleteResponse | undefined): Promise<Rendered> {
    const validators = stale === undefined ? undefined : validatorsOf(stale.record)
    try {
      return await this.#exchange.renderer.render({
        validators,
        onHead: (head, facts) => this.#onHead(head, facts, stale),
        onOversize: () => this.#refuseEarly?.('too-large'),
        onComplete: (captured, facts) => this.#onComplete(captured, facts, stale),
        onFail: (facts) => this.#noteReads(facts),
      })
    } catch (error) {
      if (!(error instanceof IncompleteResponseError) && !this.#isOfRequest) {
        this.#scope.unstored.add(this.#target.key, failedMs)
      }
      throw error
    }
  }

  /** A body is about to be sent in parts: the headers of the client's response are those of the handler. */
  #onHead(head: ResponseHead, facts: RenderFacts, stale: CompleteResponse | undefined): Decision {
    if (this.#isReplaced(head, stale)) return this.#answer.hold()
    const { response } = this.#exchange
    const { options, sender } = this.#scope
    const { clock } = options.cache
    if (head.headers.date === undefined)
      response.setHeader('Date', new Date(clock.now()).toUTCString())
    const isEncodable = isEncodableBody(head.headers, head.status, Infinity, options)
    const headers = withVary({}, head.headers, isEncodable, options)
    for (const name of Object.keys(headers)) response.setHeader(name, headers[name] as string)
    this.#noteReads(facts)
    const { refusal } = this.#judge({ ...head, body: noBody, isComplete: true }, facts)
    // What is read from now on may make it private.
    if (refusal === undefined) sender.setClientCacheControl(response, 'no-cache')
    sender.setStatus(this.#exchange, this.#forwarded(refusal))
    if (refusal === undefined) return 'send'
    this.#refuseEarly?.(refusal)
    return 'pass'
  }

  /** The response is complete: if it is stored, the client receives it as any later one. */
  #onComplete(
    captured: CapturedResponse,
    facts: RenderFacts,
    stale: CompleteResponse | undefined,
  ): Decision {
    if (this.#isReplaced(captured, stale)) return this.#answer.hold()
    const verdict = this.#judge(captured, facts)
    if (verdict.refusal === undefined) return this.#answer.hold()
    this.#scope.sender.setStatus(this.#exchange, this.#forwarded(verdict.refusal))
    return 'send'
  }

  /** Whether the stale response is sent instead. */
  #isReplaced({ status }: ResponseHead, stale: CompleteResponse | undefined): boolean {
    if (stale === undefined) return false
    if (status === 304) return hasValidators(stale.record)
    return status >= 500 && this.#mayReplace(stale)
  }

  /** Whether this client may receive the stale response instead of an error. */
  #mayReplace({ record }: CompleteResponse): boolean {
    if (this.#exchange.hasAuthorization && !record.freshness.isShared) return false
    const age = ageOf(record.freshness, record.storedAt, this.#now())
    return mayReplaceError(record.freshness, age)
  }

  #judge(captured: CapturedResponse, facts: RenderFacts): Verdict {
    const { options } = this.#scope
    const { hasAuthorization } = this.#exchange
    const verdict = judgeRendered(captured, facts, hasAuthorization, options, this.#now())
    if (verdict.refusal !== undefined) return verdict
    if (this.#learnsRule(captured.headers)) return { refusal: 'no-vary-search' }
    if (isSelfRedirect(captured, this.#exchange, options)) return { refusal: 'self-redirect' }
    return this.#hasRoom() ? verdict : { refusal: 'too-many-variants' }
  }

  #hasRoom(): boolean {
    const { vary, key } = this.#target
    const { variants, options } = this.#scope
    if (vary === undefined) return true
    return variants.hasRoom(vary.fill, key, options.maxVariants, this.#now())
  }

  /** Whether the response has another rule for its key than the one by which it was looked up. */
  #learnsRule(headers: Headers): boolean {
    const { keys, key } = this.#scope.options
    const { searchRules } = keys
    const { request, keys: used } = this.#exchange
    const isOfUrl = key === undefined && used.content === undefined
    if (searchRules === undefined || !isOfUrl) return false
    const rule = parseNoVarySearch(textOf(headers['no-vary-search']))
    if (JSON.stringify(used.rule) === JSON.stringify(rule)) return false
    const path = searchPathOf(request)
    if (rule === undefined) searchRules.delete(path)
    else searchRules.set(path, rule)
    return true
  }

  /** Stores the response of the handler. */
  async #keep(
    context: Context,
    { captured, facts }: Rendered,
    { freshness }: Extract<Verdict, { refusal?: undefined }>,
  ): Promise<Buffer | undefined> {
    const { options } = this.#scope
    const body = captured.body as Buffer
    const record = buildRecord(captured, body, { options, freshness, now: this.#now() })
    const tags = [...facts.tags, ...groupTags(captured.headers, originOf(this.#exchange.request))]
    this.#scope.unstored.remove(this.#target.key)
    await this.#answer.send({ record: complete(record), body }, this.#forwarded(undefined, true))
    return this.#store(context, { record, body }, variesBy(captured, options), tags)
  }

  #store(
    context: Context,
    stored: CompleteResponse,
    names: readonly string[],
    tags: readonly string[],
  ): Promise<Buffer | undefined> {
    return storeResponse(this.#scope, {
      context,
      target: this.#target,
      headers: this.#headers,
      stored,
      names,
      tags,
    })
  }

  /** The handler has confirmed the stale response (RFC 9111 section 4.3.4). */
  async #freshen(
    context: Context,
    stale: CompleteResponse,
    { captured, facts }: Rendered,
  ): Promise<Buffer | undefined> {
    const { options } = this.#scope
    const { body } = stale
    const merged = mergeNotModified(captured, stale.record)
    const confirmed = { ...merged, body, isComplete: true }
    const verdict = this.#judge(confirmed, facts)
    // The headers of the 304 belong to this client alone.
    if (verdict.refusal !== undefined) return this.#refuse(context, verdict.refusal, confirmed, 304)
    const { freshness } = verdict
    const built = buildRecord(merged, body, { options, freshness, now: this.#now() })
    const { hasOwnEtag, etag } = stale.record
    // The 304 may forbid to transform the body from now on.
    const isEncodable = stale.record.isEncodable && built.isEncodable
    const record = { ...built, hasOwnEtag, isEncodable, etag }
    const outcome = { ...this.#forwarded(undefined, true), forwardStatus: 304 }
    await this.#answer.send({ record: complete(record), body }, outcome)
    const tags = [...facts.tags, ...groupTags(merged.headers, originOf(this.#exchange.request))]
    return this.#store(context, { record, body }, variesBy(merged, options), tags)
  }

  /**
   * The handler has failed: its clients receive the stale response (RFC 5861 section 4). Later ones receive it as well
   * without calling the handler, unless it may have failed because of a header of this request.
   */
  async #sendStale(
    context: Context,
    stale: CompleteResponse,
    status: number,
  ): Promise<Buffer | undefined> {
    if (!this.#isOfRequest) this.#scope.unstored.add(this.#target.key, failedMs, 'failed')
    await this.#answer.send(stale, { forwarded: 'stale', forwardStatus: status })
    context.skip()
    return context.stale
  }

  /** The response is not stored: its handler runs again, and writes to the client. */
  #stream(context: Context, refusal: Refusal): Buffer | undefined {
    const { isBackground, renderer } = this.#exchange
    this.#skip(context, refusal)
    if (isBackground) return undefined
    this.#scope.sender.setStatus(this.#exchange, this.#forwarded(refusal))
    renderer.bypass()
    return undefined
  }

  /** Nothing is stored, and other requests do not receive this response. */
  #refuse(
    context: Context,
    refusal: Refusal,
    captured?: CapturedResponse,
    forwardStatus?: number,
  ): Buffer | undefined {
    const isFailure = captured !== undefined && captured.status >= 500
    this.#skip(context, refusal, isFailure ? failedMs : privateMs)
    if (captured !== undefined) {
      const outcome = {
        ...this.#forwarded(refusal),
        ...(forwardStatus !== undefined && { forwardStatus }),
      }
      this.#answer.sendCaptured(captured, outcome)
    }
    // A failure does not replace what is stored.
    return isFailure ? context.stale : undefined
  }

  /** @param ms how long other requests do not use the cache, unless their responses may be stored */
  #skip(context: Context, refusal: Refusal, ms = privateMs): void {
    const mayStoreOthers = this.#mayStoreOthers(refusal)
    const { unstored } = this.#scope
    const { key } = this.#target
    unstored.add(key, mayStoreOthers ? 1 : ms)
    if (mayStoreOthers) unstored.add(key, ms, 'unlikely')
    context.skip({ share: false, for: mayStoreOthers ? 1 : ms })
  }

  /** Whether a later response may be stored. A client must not determine the opposite with a second request. */
  #mayStoreOthers(refusal: Refusal): boolean {
    if (this.#isOfRequest || ofRequest.has(refusal)) return true
    return refusal.startsWith('read-socket.') && isPipelined(this.#exchange.request)
  }

  #forwarded(detail?: Refusal, stored?: boolean): CacheOutcome {
    return {
      forwarded: this.#exchange.reason,
      ...(stored && { stored }),
      ...(detail !== undefined && { detail }),
    }
  }

  #now(): number {
    return this.#scope.options.cache.clock.now()
  }
}

/** The client of the handler receives all headers. Only later ones do not receive those of `no-cache="…"`. */
function complete(record: ResponseRecord): ResponseRecord {
  return { ...record, freshness: { ...record.freshness, omitted: [] } }
}
