/** The default parts of URLs, by transport: read before its module is loaded, and by the module. */

import type { UrlDefaults } from "../url/broker_url.ts";

/** RabbitMQ, and others that speak AMQP. */
export const AMQP: UrlDefaults = {
  hostname: "localhost",
  port: 5672,
  tlsPort: 5671,
  username: "guest",
  password: "guest",
  virtualHost: "/",
};

/** AMQP through a WebSocket, whose ports are HTTP's. */
export const WEB_SOCKET: UrlDefaults = { ...AMQP, port: 80, tlsPort: 443 };

/** Brokers of this process. */
export const MEMORY: UrlDefaults = { virtualHost: "/" };

/** MongoDB. */
export const MONGODB: UrlDefaults = {
  hostname: "127.0.0.1",
  port: 27017,
  severalHosts: true,
};

/** CouchDB. */
export const COUCHDB: UrlDefaults = {
  hostname: "localhost",
  port: 5984,
  tlsPort: 6984,
  virtualHost: "dashi",
};

/** PostgreSQL. */
export const POSTGRES: UrlDefaults = { hostname: "localhost", port: 5432 };

/** Redis. */
export const REDIS: UrlDefaults = {
  hostname: "127.0.0.1",
  port: 6379,
  // The nodes of a cluster.
  severalHosts: true,
};

/** beanstalkd. */
export const BEANSTALK: UrlDefaults = {
  hostname: "localhost",
  port: 11300,
};

/** NATS. */
export const NATS: UrlDefaults = {
  hostname: "localhost",
  port: 4222,
  virtualHost: "dashi",
};
