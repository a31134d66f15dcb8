import type { Sessions } from '@stowage/sessions'
import type { ProcessContext, Program } from '@stowage/testing/simulation'
import { orderedStore } from '../ordered-store.ts'
import type { UserSessionCall } from './session-calls.ts'
import {
  indexSecret,
  type SessionLog,
  type SessionOperation,
  type SessionRead,
  type SessionWrite,
  type SimulatedSession,
  sessionKeys,
} from './session-log.ts'

type LoginCall = UserSessionCall & { readonly op: 'login' }
type RequestCall = UserSessionCall & { readonly op: 'request' }

/** For how long an old id leads to a session, in milliseconds. */
const graceMs = 60

/** A session that a request has read. */
interface Loaded {
  readonly id: string
  readonly session: SimulatedSession
  readonly readAt: number
}

/** Makes the requests of the scenario about sessions, and records what they do with the sessions. */
export class SessionProgram implements Program<UserSessionCall> {
  readonly #context: ProcessContext
  readonly #sessions: Sessions<SimulatedSession>
  /** Those of a process that runs a version of the application without `index`. */
  readonly #unlisted: Sessions<SimulatedSession>
  readonly #log: SessionLog

  constructor(context: ProcessContext, sessionsClass: typeof Sessions, log: SessionLog) {
    const { prefix, clock } = context
    this.#context = context
    this.#log = log
    const ordered = orderedStore(context)
    const cache = new context.Cache(ordered, { prefix, clock, ttl: '1d' })
    const index = { index: ({ owner }: SimulatedSession) => owner, indexSecret }
    this.#sessions = new sessionsClass<SimulatedSession>({ cache, rotation: true, ...index })
    this.#unlisted = new sessionsClass<SimulatedSession>({ cache, rotation: true })
  }

  async run(call: UserSessionCall): Promise<unknown> {
    switch (call.op) {
      case 'login':
        return this.#login(`user${call.user}`, newId(), call)
      case 'collide':
        return this.#collide(`user${call.user}`)
      case 'clear':
        return this.#record({ op: 'clear', id: '' }, () => this.#sessions.clear())
      case 'destroy all':
        return this.#destroyAll(`user${call.user}`, call.isKept)
      case 'request':
        return this.#request(call)
    }
  }

  close(): Promise<void> {
    return this.#sessions.cache.close()
  }

  async #login(
    owner: string,
    id: string,
    { ttlMs, isUnlisted = false }: Pick<LoginCall, 'ttlMs' | 'isUnlisted'>,
    data = {},
  ): Promise<string> {
    const sessions = isUnlisted ? this.#unlisted : this.#sessions
    const cookie = ttlMs === undefined ? {} : { cookie: { originalMaxAge: ttlMs } }
    const session: SimulatedSession = { ...data, owner, ...cookie }
    const changes = Object.fromEntries(sessionKeys.map((key) => [key, session[key] as number]))
    await this.#write(
      { op: 'create', id, owner, ttlMs, isUnlisted, changes, readAt: this.#context.now() },
      () => sessions.create(id, session),
    )
    this.#cookiesOf(owner).push(id)
    return id
  }

  async #collide(user: string): Promise<unknown> {
    const id = this.#cookiesOf(user).at(-1)
    // Where a clear is noticed late, a session of the same id could be created in the generation before.
    if (id === undefined || !this.#context.traits.scan) return
    const operation = {
      op: 'create',
      id,
      owner: 'intruder',
      readAt: this.#context.now(),
      ttlMs: undefined,
      changes: {},
    } as const
    const create = () => this.#sessions.create(id, { owner: 'intruder' })
    return this.#write(operation, create).catch((error) => {
      if (isRefusal(error)) return 'refused'
      throw error
    })
  }

  async #request(call: RequestCall): Promise<unknown> {
    const user = `user${call.user}`
    const id = this.#cookiesOf(user).at(call.isOld ? -2 : -1)
    if (id === undefined) return 'no cookie'
    const readAt = this.#context.now()
    const session = await this.#read(id)
    if (session === undefined) return 'no session'
    await this.#context.clock.sleep(call.ms)
    return this.#act(call, { id, session, readAt })
  }

  async #act({ action, key: index, ms }: RequestCall, loaded: Loaded): Promise<unknown> {
    const key = sessionKeys[index] as string
    const { id, session } = loaded
    switch (action) {
      case 'read':
        return this.#write(operationOf('touch', loaded), () => this.#sessions.touch(id, session))
      case 'resave':
        return this.#update(loaded, [])
      case 'write':
        return this.#change(loaded, key)
      case 'delete':
        return this.#update(loaded, remove(session, key))
      case 'write twice':
        await this.#change(loaded, key)
        await this.#context.clock.sleep(ms)
        return this.#change(loaded, sessionKeys[(index + 1) % sessionKeys.length] as string)
      case 'destroy':
        return this.#destroy(loaded)
      case 'save destroyed':
        await this.#destroy(loaded)
        return this.#change(loaded, key)
      case 'regenerate':
        await this.#destroy(loaded)
        return this.#login(
          session.owner,
          newId(),
          { ttlMs: session.cookie?.originalMaxAge },
          session,
        )
      case 'rotate':
        return this.#rotate(loaded)
    }
  }

  #change(loaded: Loaded, key: string): Promise<unknown> {
    loaded.session[key] = this.#context.nextOrder()
    return this.#update(loaded, [key])
  }

  #update(loaded: Loaded, keys: readonly string[]): Promise<unknown> {
    return this.#write(operationOf('update', loaded, keys), () =>
      this.#sessions.update(loaded.id, loaded.session),
    )
  }

  #destroy({ id, session }: Loaded): Promise<unknown> {
    return this.#record({ op: 'destroy', id }, () => this.#sessions.destroy(id, session))
  }

  async #rotate({ id, session }: Loaded): Promise<unknown> {
    const id2 = newId()
    this.#log.rename(id, id2)
    const outcome = await this.#record({ op: 'rotate', id }, () =>
      this.#sessions.rotate(id, id2, session, graceMs),
    )
    if (outcome === 'rotated') this.#cookiesOf(session.owner).push(id2)
    return outcome
  }

  #destroyAll(owner: string, isKept: boolean): Promise<unknown> {
    const except = isKept ? this.#cookiesOf(owner).at(-1) : undefined
    return this.#record({ op: 'destroy all', id: '', owner, except }, () =>
      this.#sessions.destroyAllFor(owner, { except }),
    )
  }

  async #read(id: string): Promise<SimulatedSession | undefined> {
    const read = { op: 'read', id, session: undefined, hasFailed: false } as const
    return this.#record(
      read,
      () => this.#sessions.read(id),
      (operation, session) => {
        // A copy: the request goes on to change the session.
        const copy = session === undefined ? undefined : { ...session }
        ;(operation as SessionRead).session = copy
      },
    )
  }

  #write(
    operation: Pick<
      SessionWrite,
      'op' | 'id' | 'owner' | 'ttlMs' | 'isUnlisted' | 'readAt' | 'changes'
    >,
    work: () => Promise<'saved' | 'unchanged' | 'dropped'>,
  ): Promise<unknown> {
    const refuse = (error: unknown, recorded: SessionOperation) => {
      if (operation.op === 'create' && isRefusal(error))
        (recorded as SessionWrite).outcome = 'refused'
    }
    return this.#record(
      { ...operation, outcome: undefined },
      work,
      (recorded, outcome) => {
        ;(recorded as SessionWrite).outcome = outcome
      },
      refuse,
    )
  }

  async #record<T>(
    operation: object,
    work: () => Promise<T>,
    onEnd: (recorded: SessionOperation, result: T) => void = () => {},
    onError: (error: unknown, recorded: SessionOperation) => void = () => {},
  ): Promise<T> {
    const { name, clock, nextOrder, now } = this.#context
    const { id, except } = operation as { id: string; except?: string }
    const recorded = {
      ...operation,
      id: this.#log.firstIdOf(id),
      sentId: id,
      except: except && this.#log.firstIdOf(except),
      process: name,
      began: nextOrder(),
      beganAt: now(),
      ended: Infinity,
      endedAt: Infinity,
      skewsMs: [clock.now() - now()],
    } as SessionOperation
    this.#log.operations.push(recorded)
    try {
      const result = await work()
      recorded.ended = nextOrder()
      recorded.endedAt = now()
      recorded.skewsMs.push(clock.now() - now())
      onEnd(recorded, result)
      return result
    } catch (error) {
      onError(error, recorded)
      throw error
    }
  }

  /** The ids that the browser of a user has received. */
  #cookiesOf(user: string): string[] {
    const { shared } = this.#context
    const ids = (shared.get(`cookies of ${user}`) as string[] | undefined) ?? []
    shared.set(`cookies of ${user}`, ids)
    return ids
  }
}

/** Deletes a key. Returns the keys that this has changed. */
function remove(session: SimulatedSession, key: string): readonly string[] {
  const keys = session[key] === undefined ? [] : [key]
  delete session[key]
  return keys
}

function isRefusal(error: unknown): boolean {
  return (error as { code?: string }).code === 'ERR_CACHE_REJECTED'
}

function newId(): string {
  return crypto.randomUUID()
}

function operationOf(
  op: 'update' | 'touch',
  { id, session, readAt }: Loaded,
  keys: readonly string[] = [],
) {
  const changes = Object.fromEntries(keys.map((key) => [key, session[key] as number | undefined]))
  return { op, id, owner: session.owner, ttlMs: session.cookie?.originalMaxAge, readAt, changes }
}
