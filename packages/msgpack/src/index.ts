/** A codec that stores values in the MessagePack format. */
export { msgpack } from './msgpack-codec.ts'
