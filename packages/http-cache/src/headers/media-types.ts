const compressible =
  /^(?:text\/|application\/(?:json|javascript|xml|wasm|graphql|x-ndjson|manifest\+json|.+\+(?:json|xml))|image\/(?:svg\+xml|bmp|x-icon)|font\/(?:ttf|otf))/

/** Whether bodies of a `Content-Type` usually become smaller by compression. */
export function isCompressible(type: string | undefined): boolean {
  return type !== undefined && compressible.test(type.toLowerCase()) && !isEventStream(type)
}

/** Whether the body is a stream of events, which never ends. */
export function isEventStream(type: string | undefined): boolean {
  return type?.toLowerCase().startsWith('text/event-stream') === true
}
