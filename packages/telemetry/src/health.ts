/** `@stowage/telemetry/health`: the answer to a readiness probe. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { CacheError, type Caches, type Duration, type Health } from '@stowage/core'
import { checkOptionNames, checkTimeout } from '@stowage/core/driver'

export interface HealthOptions<Name extends string> {
  /** The caches that the application cannot work without: usually those of the sessions. @default none */
  readonly required?: readonly Name[] | undefined
  /** How long a probe waits for each backend. @default '2s' */
  readonly timeout?: Duration | undefined
  /** How long a result is returned again, so that probes put no load on the backends. @default '1s' */
  readonly maxAge?: Duration | undefined
}

/** The state of one cache. Names no host, so that everybody may see it. */
export interface CacheHealth {
  readonly status: HealthStatus
  /** Name of the driver. */
  readonly driver: string
  readonly latencyMs: number
  /** The code of the failure. */
  readonly code?: string | undefined
}

/** `warn`: only caches that are not required do not reply. */
export type HealthStatus = 'pass' | 'warn' | 'fail'

export interface HealthResult {
  readonly status: HealthStatus
  /** 503 for `fail`, otherwise 200. */
  readonly httpStatus: 200 | 503
  readonly body: {
    readonly status: HealthStatus
    readonly checks: Readonly<Record<string, CacheHealth>>
  }
}

export interface HealthCheck {
  /** Never rejects, except for unknown names. Needs no `this`. */
  readonly check: () => Promise<HealthResult>
  /** Answers a request with the result as JSON. Needs no `this`. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>
}

const optionNames = { required: true, timeout: true, maxAge: true } as const

/**
 * Returns a check whether the backends of the caches reply: for readiness probes. No liveness probe may use it, because a
 * restart of the application does not repair a backend. While only caches that are not required do not reply, it warns.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid option
 * @see https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check
 * @example
 * import { createServer } from 'node:http'
 * import { healthCheck } from '@stowage/telemetry/health'
 *
 * const { check, handler } = healthCheck(caches, { required: ['session'] })
 * console.log((await check()).status) // pass
 * createServer(handler)
 */
export function healthCheck<Name extends string>(
  caches: Caches<Name>,
  options: HealthOptions<Name> = {},
): HealthCheck {
  checkOptionNames<HealthOptions<Name>>('healthCheck', options, optionNames)
  const { required = [], timeout = '2s', maxAge = '1s' } = options
  const timeoutMs = checkTimeout('healthCheck: timeout', timeout)
  const maxAgeMs = checkTimeout('healthCheck: maxAge', maxAge)
  checkCaches(caches, required)
  let last: { readonly at: number; readonly result: Promise<HealthResult> } | undefined
  const check = () => {
    const now = performance.now()
    if (last === undefined || now - last.at >= maxAgeMs)
      last = { at: now, result: run(caches, required, timeoutMs) }
    return last.result
  }
  const handler = async (_request: IncomingMessage, response: ServerResponse) => {
    const { httpStatus, body } = await check()
    response.statusCode = httpStatus
    response.setHeader('Content-Type', 'application/health+json')
    response.setHeader('Cache-Control', 'no-store')
    response.end(JSON.stringify(body))
  }
  return { check, handler }
}

/** A probe would otherwise fail in its handler, where an error without a listener ends the process. */
function checkCaches<Name extends string>(caches: Caches<Name>, required: readonly Name[]): void {
  if (typeof caches?.status !== 'function') {
    throw new TypeError(
      'healthCheck: the first argument must be the caches of cachesFromEnv or createCaches.',
    )
  }
  const unknown = required.find((name) => !caches.names.includes(name))
  if (unknown !== undefined) caches.use(unknown) // throws, and suggests a name
}

async function run<Name extends string>(
  caches: Caches<Name>,
  required: readonly Name[],
  timeout: number,
): Promise<HealthResult> {
  const { health, ...result } = await caches.status({ required, timeout })
  const checks = Object.fromEntries(
    caches.names.map((name) => [name, checkOf(health[name], required.includes(name))] as const),
  )
  const status = statuses[result.status]
  return { status, httpStatus: status === 'fail' ? 503 : 200, body: { status, checks } }
}

const statuses = { ok: 'pass', degraded: 'warn', unavailable: 'fail' } as const

function checkOf({ ok, driver, latencyMs, error }: Health, isRequired: boolean): CacheHealth {
  const rounded = Math.round(latencyMs * 10) / 10
  if (ok) return { status: 'pass', driver, latencyMs: rounded }
  const code = CacheError.is(error) ? error.code : 'other'
  return { status: isRequired ? 'fail' : 'warn', driver, latencyMs: rounded, code }
}
