import type { MeterProvider, TracerProvider } from '@opentelemetry/api'

export interface OpenTelemetryOptions {
  /**
   * Whether spans have the attribute `cache.key`, or a function that returns what it contains, such as a digest. Keys may be
   * session ids, or contain personal data. @default false
   */
  readonly keys?: boolean | ((key: string) => string) | undefined
  /** @default the global provider */
  readonly tracerProvider?: TracerProvider | undefined
  /** @default the global provider */
  readonly meterProvider?: MeterProvider | undefined
}
