// Portkey's gateway listens on every address and has no setting for it: have it listen on the loopback alone.
const { Server } = require("net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  return typeof port === "object" ? listen.call(this, { ...port, host: "127.0.0.1" }, ...rest)
    : listen.call(this, port, "127.0.0.1", ...rest.filter((one) => typeof one !== "string"));
};
