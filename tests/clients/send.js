// Sends one mail by nodemailer: node send.js HOST PORT implicit|starttls CA USER PASSWORD SUBJECT
const fs = require("fs");
const nodemailer = require("nodemailer");

const [host, port, tls, ca, user, pass, subject] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host,
  port: Number(port),
  secure: tls === "implicit",
  requireTLS: true,
  auth: { user, pass },
  tls: { ca: fs.readFileSync(ca), servername: "relay.example.net" },
});
transport
  .sendMail({ from: user, to: "bob@example.org", subject, text: "Sent by nodemailer.\n" })
  .then((info) => console.log(info.response))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
