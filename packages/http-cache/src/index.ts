export { type HttpCacheErrorEvent, type HttpResponseEvent, httpCacheChannels } from './channels.ts'
export { type CachedHandler, cached } from './middleware/cached.ts'
export type { InvalidateDuringOptions, InvalidationMethods } from './middleware/invalidation.ts'
export {
  type OptimizedResultOptions,
  type Serializer,
  toOptimizedResult,
} from './middleware/optimized-result.ts'
export { type ResponseCacheMiddleware, responseCache } from './middleware/response-cache.ts'
export type { ResponseCacheOptions } from './options.ts'
export type { QueryOptions } from './request/query.ts'
export type { VaryBy } from './request/vary-by.ts'
export type { ResponseCacheControls } from './response/controls.ts'
export { type Encoding, supportedEncodings } from './storage/encodings.ts'
