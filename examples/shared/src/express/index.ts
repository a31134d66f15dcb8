export { createBaseApp } from './base-app.ts'
export {
  type ErrorHandlerOptions,
  errorHandler,
  HttpError,
  httpStatusOf,
  logError,
  notFound,
} from './errors.ts'
export { sameOriginOnly } from './same-origin.ts'
