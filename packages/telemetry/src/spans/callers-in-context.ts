import { context, createContextKey } from '@opentelemetry/api'
import type { CallEvent } from '@stowage/core'
import type { CallerContext } from '@stowage/core/tools'

const callersKey = createContextKey('stowage.callers')

/** The callers of requests, in the context of OpenTelemetry. */
export const callersInContext: CallerContext = {
  current: () => context.active().getValue(callersKey) as readonly CallEvent[] | undefined,
  run: (callers, work) => context.with(context.active().setValue(callersKey, callers), work),
}
